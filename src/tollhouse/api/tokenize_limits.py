"""The limits of `/tokenize`, by address, network, card and API key.

A card is recognized by a hash under a key that lives as long as the process.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from tollhouse.kernel.addresses import group_address
from tollhouse.kernel.limits import RateLimit
from tollhouse.merchants.model import Merchant

#: The prefix of an IPv4 network that counts as one; an IPv6 network is that of one customer.
IPV4_NETWORK_BITS = 24


@dataclass(frozen=True, slots=True)
class TokenizeRates:
    """Calls per minute; 0 is no limit."""

    by_address: int = 0
    by_network: int = 0
    by_card: int = 0
    by_key: int = 0


class TokenizeLimits:
    """The limits of `/tokenize`. A merchant's API key replaces those by address and network."""

    def __init__(self, rates: TokenizeRates) -> None:
        self._address = RateLimit(rates.by_address)
        self._network = RateLimit(rates.by_network)
        self._card = RateLimit(rates.by_card)
        self._key = RateLimit(rates.by_key)
        self._limits_cards = rates.by_card > 0
        self._limits_networks = rates.by_network > 0
        self._secret = secrets.token_bytes(32)

    def check(self, merchant: Merchant | None, *, address: str, card: object) -> None:
        """Count a call with a card, given by its number or the ID of a stored card. Raises RateLimited."""
        if merchant is not None:
            self._key.check(merchant.merchant_id)
        else:
            self._address.check(address)
            if self._limits_networks:
                self._network.check(group_address(address, ipv4_bits=IPV4_NETWORK_BITS))
        if self._limits_cards:
            self._card.check(self._hash(card))

    def _hash(self, card: object) -> bytes:
        return hmac.digest(self._secret, str(hash(card)).encode(), hashlib.sha256)
