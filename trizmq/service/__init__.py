"""Where the wings join: drivers, the worker pool, the client, the supervisor."""
