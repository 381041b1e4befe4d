"""Idempotency keys: a request with an X-Request-ID runs once, and its repeats get the first response."""
