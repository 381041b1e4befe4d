"""The dependencies of this package's functions, built by `composition.app`."""

from __future__ import annotations

from dataclasses import dataclass

from tollhouse.phones.sender import MessageSender
from tollhouse.storage.database import Database


@dataclass(frozen=True, slots=True)
class Quotas:
    """The limits of messages an hour; 0 is no limit.

    Each message costs money, and each code permits five more guesses.
    """

    by_phone: int = 5
    by_merchant: int = 600


@dataclass(frozen=True, slots=True, repr=False)
class PhoneDependencies:
    """The dependencies of sending and checking codes. `key` is used only for keyed digests."""

    database: Database
    sender: MessageSender
    key: bytes
    quotas: Quotas
