"""Read requests: authenticate, decode and validate them, and name their faults."""
