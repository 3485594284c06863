"""Processes that serve, built from the three roles, with supervision and signals."""
