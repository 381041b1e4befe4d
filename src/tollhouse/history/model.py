"""The records of a timeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Literal


class Kind(IntEnum):
    """What an entry is about, in the order of things that happen at one moment."""

    REQUEST = 1
    RULE = 2
    ROUTE = 3
    THREE_DS = 4
    ACQUIRER = 5
    STATE = 6
    LEDGER = 7
    CALLBACK = 8

    @property
    def word(self) -> KindWord:
        """The same on the wire."""
        return WORDS[self]


KindWord = Literal["request", "rule", "route", "3ds", "acquirer", "state", "ledger", "callback"]

WORDS: Mapping[Kind, KindWord] = {
    Kind.REQUEST: "request",
    Kind.RULE: "rule",
    Kind.ROUTE: "route",
    Kind.THREE_DS: "3ds",
    Kind.ACQUIRER: "acquirer",
    Kind.STATE: "state",
    Kind.LEDGER: "ledger",
    Kind.CALLBACK: "callback",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened: a sentence, and the facts that it is made of."""

    at: datetime
    kind: Kind
    text: str
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Timeline:
    """What happened to one transaction, in order."""

    payment_id: int
    transaction_id: int
    entries: tuple[Entry, ...]
