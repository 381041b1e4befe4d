"""IPN secrets: sealed, because signing needs their text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tollhouse.kernel.errors import NotFound
from tollhouse.kernel.remember import Remembered
from tollhouse.merchants.store import queries

if TYPE_CHECKING:
    from collections.abc import Callable

    from tollhouse.storage.database import Database

#: A rotated secret is taken up within this time.
REMEMBER_SECONDS = 30.0


class IpnSecrets:
    """Reads IPN secrets and remembers them by merchant. `unseal` opens what the row holds for that merchant."""

    def __init__(self, database: Database, unseal: Callable[[int, bytes], str]) -> None:
        self._database = database
        self._unseal = unseal
        self._known = Remembered(self._read, seconds=REMEMBER_SECONDS)

    async def of(self, merchant_id: int) -> list[str]:
        """Return the merchant's secrets, the current one first. Raises NotFound."""
        return await self._known.get(merchant_id)

    async def probe(self) -> None:
        """Open one secret, if there is any merchant. Raises SealBroken when the database was sealed with other keys."""
        async with self._database.acquire() as connection:
            merchant_id = await queries.select_any_merchant_id(connection)
        if merchant_id is not None:
            await self.of(merchant_id)

    async def _read(self, merchant_id: int) -> list[str]:
        async with self._database.acquire() as connection:
            sealed = await queries.select_ipn_secret(connection, merchant_id=merchant_id)
        if sealed is None:
            raise NotFound("There is no such merchant.")
        return [self._unseal(merchant_id, sealed)]
