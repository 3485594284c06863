"""ZeroMQ sockets for Trio, and an in-memory network with the same interface."""
