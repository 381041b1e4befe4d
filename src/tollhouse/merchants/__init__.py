"""Merchants, their API keys, users and secrets."""
