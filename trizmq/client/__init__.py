"""The client: its engine, and its drivers for Trio and for threads."""
