"""Subscriptions: get, change, cancel and recover, their next charges, and their stored cards."""
