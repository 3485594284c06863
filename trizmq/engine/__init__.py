"""The state machines: broker and client. Values and the time in, what to send out."""
