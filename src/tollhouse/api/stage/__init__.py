"""Calls of stage that simulate issuers, cardholders and time."""
