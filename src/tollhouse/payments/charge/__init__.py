"""Charge a card: from a request to the outcome of its first transaction."""
