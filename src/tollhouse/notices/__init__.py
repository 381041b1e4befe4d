"""Emails to consumers: stored with the event that they report, and sent afterwards."""
