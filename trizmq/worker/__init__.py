"""The worker: its conversations with brokers, and the pool that runs handlers."""
