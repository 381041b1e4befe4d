"""What the verbs of this package work with, put together by `app`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tollhouse.phones.sender import Sender
    from tollhouse.storage.database import Database


@dataclass(frozen=True, slots=True)
class Quotas:
    """Messages an hour; 0 is no limit. Each costs money, and each new code is five more tries for a guesser."""

    by_phone: int = 5
    by_merchant: int = 600


@dataclass(frozen=True, slots=True, repr=False)
class PhoneDependencies:
    """Where codes are given out and checked. `key` is of keyed digests and for nothing else."""

    database: Database
    sender: Sender
    key: bytes
    quotas: Quotas
