"""Conversion between frames and values, for all dialects. No sockets, tasks or clocks."""
