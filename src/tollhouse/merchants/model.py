"""Merchants and their API keys."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from tollhouse.kernel.addresses import Network, is_within

Environment = Literal["stage", "live"]

#: 160 random bits.
KEY_RANDOM_BYTES = 20


@dataclass(frozen=True, slots=True)
class Merchant:
    """A merchant as found by an API key. `clock_offset` is the offset of its virtual clock from real time."""

    merchant_id: int
    name: str
    is_active: bool
    clock_offset: timedelta
    allowed_networks: tuple[Network, ...]
    key_expires_at: datetime | None


def new_api_key(environment: Environment) -> str:
    """Draw an API key. Its prefix names its environment, for the gateway and for scanners of leaked secrets."""
    return f"th_{environment}_{secrets.token_hex(KEY_RANDOM_BYTES)}"


def digest_api_key(key: str) -> bytes:
    """Hash an API key for storage and lookup. The key is random enough for a plain hash."""
    return hashlib.sha256(key.encode()).digest()


def is_address_allowed(merchant: Merchant, address: str) -> bool:
    """Return whether the key may be used from this address. An empty list permits every address."""
    return not merchant.allowed_networks or is_within(address, merchant.allowed_networks)
