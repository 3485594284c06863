"""Frames to values and back, one file a dialect. No sockets, tasks or clocks."""
