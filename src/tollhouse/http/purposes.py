"""Purposes of calls, which determine what a disabled merchant may do.

Calls that sell, charge or capture are rejected. Calls that read, refund or change settings are allowed, because
a merchant must be able to handle earlier sales.
"""

from __future__ import annotations

from enum import Enum


class Purpose(Enum):
    """The purpose of a call."""

    #: Sell, charge or capture, or enable that: a page, a subscription's new card, a recovered subscription.
    SELLS = "sells"
    #: Refund, or end a subscription.
    GIVES_BACK = "gives back"
    READS = "reads"
    #: Change stored data without charges: sites, SKUs, consumers, callbacks, and calls of stage.
    SETS_UP = "sets up"
