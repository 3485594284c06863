"""The broker: its engine, and the loop that joins it with its sockets."""
