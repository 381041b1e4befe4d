"""Pauses between questions to an acquirer about one attempt. Pure."""

from __future__ import annotations

#: When to ask again, by how often was asked: then every five minutes.
INQUIRY_PAUSES_SECONDS = (10.0, 60.0)
LATER_INQUIRIES_SECONDS = 300.0


def pause_after(inquiries: int) -> float:
    """Return how long to wait before an attempt is asked about again."""
    return INQUIRY_PAUSES_SECONDS[inquiries] if inquiries < len(INQUIRY_PAUSES_SECONDS) else LATER_INQUIRIES_SECONDS
