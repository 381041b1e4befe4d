"""The records of a timeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Literal


class EntryKind(IntEnum):
    """The subject of an entry, in the order for entries of the same moment."""

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
        """The name of the kind in the API."""
        return WORDS[self]


KindWord = Literal["request", "rule", "route", "3ds", "acquirer", "state", "ledger", "callback"]

WORDS: Mapping[EntryKind, KindWord] = {
    EntryKind.REQUEST: "request",
    EntryKind.RULE: "rule",
    EntryKind.ROUTE: "route",
    EntryKind.THREE_DS: "3ds",
    EntryKind.ACQUIRER: "acquirer",
    EntryKind.STATE: "state",
    EntryKind.LEDGER: "ledger",
    EntryKind.CALLBACK: "callback",
}


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One event of a timeline: a sentence with its facts."""

    at: datetime
    kind: EntryKind
    text: str
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Timeline:
    """The events of one transaction, in order."""

    payment_id: int
    transaction_id: int
    entries: tuple[HistoryEntry, ...]
