"""Who is calling: from an API key and an address to a merchant, or a refusal.

Merchants are remembered for a few seconds, so a key that was revoked dies within that time on every node.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tollhouse.kernel.errors import Forbidden, NotAuthenticated
from tollhouse.kernel.remember import Remembered
from tollhouse.merchants.model import Environment, Merchant, digest_api_key, is_address_allowed
from tollhouse.merchants.store import queries

if TYPE_CHECKING:
    from tollhouse.kernel.clock import DatabaseClock
    from tollhouse.storage.database import Database

#: How long a merchant is remembered after it was read.
REMEMBER_SECONDS = 5.0
LONGEST_KEY = 256


class Doorman:
    """Knows the merchants by their keys."""

    def __init__(self, database: Database, clock: DatabaseClock, *, environment: Environment) -> None:
        self._database = database
        self._clock = clock
        self._environment = environment
        self._by_digest = Remembered(self._read, seconds=REMEMBER_SECONDS)

    async def access_merchant(self, key: str | None, *, address: str) -> Merchant:
        """Return the merchant whose key this is.

        Raises NotAuthenticated when the key is missing, wrong, expired or of the other environment, and Forbidden when
        the merchant is disabled or the address is off the key's list.
        """
        if not key:
            raise NotAuthenticated("The Authorization header has to hold your API key.")
        merchant = await self.recognise(key)
        if merchant is None:
            raise NotAuthenticated(self._explain(key))
        if merchant.key_expires_at is not None and merchant.key_expires_at <= self._clock.now():
            raise NotAuthenticated("The API key has expired.")
        if not merchant.is_active:
            raise Forbidden("The merchant is disabled.")
        if not is_address_allowed(merchant, address):
            raise Forbidden("The API key may not be used from this address.")
        return merchant

    async def recognise(self, key: str) -> Merchant | None:
        """Return the merchant whose key this is, or None; whether it may be used is another question."""
        if len(key) > LONGEST_KEY:
            return None
        return await self._by_digest.get(digest_api_key(key))

    async def _read(self, digest: bytes) -> Merchant | None:
        async with self._database.acquire() as connection:
            row = await queries.select_merchant_by_key(connection, digest=digest)
        if row is None:
            return None
        self._clock.observe_offset(row["merchant_id"], row["clock_offset"])
        return Merchant(
            merchant_id=row["merchant_id"],
            name=row["name"],
            is_active=row["is_active"],
            clock_offset=row["clock_offset"],
            allowed_networks=tuple(row["allowed_networks"]),
            key_expires_at=row["expires_at"],
        )

    def _explain(self, key: str) -> str:
        for other in ("stage", "live"):
            if other != self._environment and key.startswith(f"th_{other}_"):
                return f"This is a key for {other}, and this gateway is {self._environment}."
        return "The API key is wrong."
