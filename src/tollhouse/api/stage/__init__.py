"""Calls of stage, which stand for issuers, cardholders and time."""
