"""Purposes of calls, which decide what a disabled merchant may still do.

Calls that sell, charge or capture are rejected. Calls that read, return money or change settings stay, because a
merchant has to look after what it sold.
"""

from __future__ import annotations

from enum import Enum


class Purpose(Enum):
    """The purpose of a call."""

    #: Sells, charges or captures, or makes that possible: a page, a card put on a subscription, a recovered one.
    SELLS = "sells"
    #: Gives money back or ends a subscription.
    GIVES_BACK = "gives back"
    READS = "reads"
    #: Changes what is kept, and moves no money: sites, products, consumers, callbacks, and the controls of stage.
    SETS_UP = "sets up"
