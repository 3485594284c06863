"""The broker: its engine, and the loop that connects it to its sockets."""
