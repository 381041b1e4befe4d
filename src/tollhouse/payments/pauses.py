"""Intervals between inquiries about one attempt. Pure."""

from __future__ import annotations

#: By the number of inquiries made; later ones come every five minutes.
INQUIRY_PAUSES_SECONDS = (10.0, 60.0)
LATER_INQUIRIES_SECONDS = 300.0


def pause_after(inquiries: int) -> float:
    """Return the seconds until the next inquiry about an attempt."""
    return INQUIRY_PAUSES_SECONDS[inquiries] if inquiries < len(INQUIRY_PAUSES_SECONDS) else LATER_INQUIRIES_SECONDS
