"""How often `/tokenize` may be called: by address, by network, by card, and by API key.

Counted in memory by the generic cell rate algorithm: one number for each caller. A card is known by a hash
under a key that lives as long as the process. Limits are per process; 0 switches one off.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from tollhouse.kernel.errors import RateLimited

if TYPE_CHECKING:
    from tollhouse.merchants.model import Merchant

WINDOW_SECONDS = 60.0
#: Callers that are remembered; past it, those whose window is over are forgotten, and then all.
MAX_CALLERS = 100_000


@dataclass(frozen=True, slots=True)
class TokenizeRates:
    """Calls a minute. 0 is no limit."""

    by_address: int = 0
    by_network: int = 0
    by_card: int = 0
    by_key: int = 0


class Window:
    """Lets each caller have `limit` calls at once, and from then on as many a minute."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pause = WINDOW_SECONDS / limit if limit else 0.0
        self._full_at: dict[object, float] = {}

    def check(self, caller: object) -> None:
        """Count a call. Raises RateLimited, which says when the next one is welcome."""
        if not self._limit:
            return
        now = time.monotonic()
        if len(self._full_at) >= MAX_CALLERS:
            self._forget(now)
        full_at = max(self._full_at.get(caller, now), now) + self._pause
        wait = full_at - now - WINDOW_SECONDS
        if wait > 0:
            raise RateLimited(int(wait) + 1)
        self._full_at[caller] = full_at

    def _forget(self, now: float) -> None:
        self._full_at = {caller: full_at for caller, full_at in self._full_at.items() if full_at > now}
        if len(self._full_at) >= MAX_CALLERS:
            self._full_at.clear()


class TokenizeLimits:
    """The limits of `/tokenize`. A merchant's API key replaces those by address and network."""

    def __init__(self, rates: TokenizeRates) -> None:
        self._address = Window(rates.by_address)
        self._network = Window(rates.by_network)
        self._card = Window(rates.by_card)
        self._key = Window(rates.by_key)
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
                self._network.check(network_of(address))
        if self._limits_cards:
            self._card.check(self._hash(card))

    def _hash(self, card: object) -> bytes:
        return hmac.digest(self._secret, str(hash(card)).encode(), hashlib.sha256)


def network_of(address: str) -> str:
    """Return the network of an address: /24 of IPv4, /64 of IPv6."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return str(ip_network(f"{parsed}/{24 if parsed.version == 4 else 64}", strict=False))
