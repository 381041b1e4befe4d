"""Subscriptions: price schedules and what becomes of them."""
