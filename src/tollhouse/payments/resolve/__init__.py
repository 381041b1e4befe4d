"""Resolve attempts with unknown outcomes."""
