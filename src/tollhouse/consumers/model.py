"""Consumers and their IDs."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from functools import lru_cache
from typing import Any

from tollhouse.kernel.ids import CONSUMER_ID_BYTES, write_consumer_id


class Group(IntEnum):
    """A merchant's trust in a consumer. Only the first two affect payments."""

    #: No velocity limits.
    WHITELIST = 1
    #: Every payment is blocked.
    BLACKLIST = 2
    #: The group of new consumers.
    JUNIOR = 3
    SENIOR = 4
    EXPERT = 5


@dataclass(frozen=True, slots=True)
class Consumer:
    """A merchant's consumer. `profile` has email, firstName, lastName and so on, by their names in the API."""

    merchant_id: int
    consumer_id: str
    external_id: str | None
    profile: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ConsumerEntry:
    """A consumer with all its fields."""

    consumer: Consumer
    group: Group
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ConsumerChange:
    """The changes of a consumer.

    Fields that the profile does not name stay unchanged, and so does a group that is None.
    """

    group: Group | None = None
    profile: Mapping[str, str] = field(default_factory=dict)


def derive_consumer_id(key: bytes, *, merchant_id: int, external_id: str) -> str:
    """Derive the ID of the consumer with this external ID: `c` and 24 base-32 characters of a keyed hash.

    Two concurrent first payments derive the same ID without the database (ADR 0007).
    """
    keyed = _prepare_hash(key).copy()
    keyed.update(f"{merchant_id}|{external_id}".encode())
    return write_consumer_id(keyed.digest()[:CONSUMER_ID_BYTES])


@lru_cache(maxsize=16)
def _prepare_hash(key: bytes) -> hmac.HMAC:
    """Set the hash of a key up: that costs more than to hash an ID."""
    return hmac.new(key, digestmod=hashlib.sha256)
