"""Consumers and how they are named."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any

_BASE32 = "0123456789abcdefghjkmnpqrstvwxyz"


class Group(IntEnum):
    """How far a merchant trusts a consumer. Only the first two change what happens to payments."""

    #: No velocity limits.
    WHITELIST = 1
    #: Every payment is refused.
    BLACKLIST = 2
    #: Where a consumer begins.
    JUNIOR = 3
    SENIOR = 4
    EXPERT = 5


@dataclass(frozen=True, slots=True)
class Consumer:
    """A merchant's consumer. `profile` holds email, firstName, lastName and so on by the names of the wire."""

    merchant_id: int
    consumer_id: str
    external_id: str | None
    profile: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ConsumerEntry:
    """A consumer with what a payment does not ask about."""

    consumer: Consumer
    group: Group
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ConsumerChange:
    """What is to be changed of a consumer: what the profile does not name stays, and so does a group that is None."""

    group: Group | None = None
    profile: Mapping[str, str] = field(default_factory=dict)


def derive_consumer_id(key: bytes, *, merchant_id: int, external_id: str) -> str:
    """Name the consumer with this external id: `c` and 24 base-32 characters, by a keyed hash.

    Two first payments at once give the same name without asking the database (ADR 0007).
    """
    bits = int.from_bytes(hmac.digest(key, f"{merchant_id}|{external_id}".encode(), hashlib.sha256)[:15], "big")
    return "c" + "".join(_BASE32[(bits >> shift) & 31] for shift in range(0, 120, 5))
