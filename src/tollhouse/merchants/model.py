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
    """A merchant as an API key finds it. `clock_offset` is what its virtual clock is ahead of the real one."""

    merchant_id: int
    name: str
    is_active: bool
    clock_offset: timedelta
    allowed_networks: tuple[Network, ...]
    key_expires_at: datetime | None


def new_api_key(environment: Environment) -> str:
    """Draw an API key. Its prefix tells its environment, to the gateway and to scanners for leaked secrets."""
    return f"th_{environment}_{secrets.token_hex(KEY_RANDOM_BYTES)}"


def digest_api_key(key: str) -> bytes:
    """Hash an API key for storage and look-up. It is random enough for a plain hash."""
    return hashlib.sha256(key.encode()).digest()


def is_address_allowed(merchant: Merchant, address: str) -> bool:
    """Tell whether the key may be used from this address. An empty list allows every address."""
    return not merchant.allowed_networks or is_within(address, merchant.allowed_networks)
