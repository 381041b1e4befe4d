"""How often `/tokenize` may be called: by address, by network, by card, and by API key.

A card is known by a hash under a key that lives as long as the process.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from tollhouse.kernel.addresses import group_address
from tollhouse.kernel.limits import RateLimit
from tollhouse.merchants.model import Merchant

#: A network of IPv4 that is counted as one; of IPv6 it is a customer's.
IPV4_NETWORK_BITS = 24


@dataclass(frozen=True, slots=True)
class TokenizeRates:
    """Calls a minute. 0 is no limit."""

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
        """Count a call with a card, which its number names or the id of a stored one. Raises RateLimited."""
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
