"""Processes that serve: made of the roles, supervised, and ended."""
