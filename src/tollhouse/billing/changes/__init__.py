"""Change, cancel and recover subscriptions by request."""
