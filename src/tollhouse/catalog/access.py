"""A cache of sites and SKUs, kept for a few seconds: every payment reads them, and they change rarely."""

from __future__ import annotations

import json

from tollhouse.catalog.model import Site, Sku, price_from_json
from tollhouse.catalog.store import queries
from tollhouse.kernel.remember import TimedCache
from tollhouse.storage.database import Database

CACHE_TIMEOUT_SECONDS = 5.0


class Catalog:
    """A cache of the catalogs of all merchants. Another merchant's ID is treated as unknown."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sites = TimedCache(self._read_site, seconds=CACHE_TIMEOUT_SECONDS)
        self._skus = TimedCache(self._read_sku, seconds=CACHE_TIMEOUT_SECONDS)

    async def site(self, merchant_id: int, site_id: int) -> Site | None:
        """Return a merchant's site, or None."""
        return await self._sites.get((merchant_id, site_id))

    async def sku(self, merchant_id: int, name: str) -> Sku | None:
        """Return a merchant's SKU, or None."""
        return await self._skus.get((merchant_id, name))

    def forget_site(self, merchant_id: int, site_id: int) -> None:
        """Make a change of a site visible to this process at once. Other processes see it after a few seconds."""
        self._sites.forget((merchant_id, site_id))

    def forget_sku(self, merchant_id: int, name: str) -> None:
        """Make a change of a SKU visible to this process at once."""
        self._skus.forget((merchant_id, name))

    async def _read_site(self, key: tuple[int, int]) -> Site | None:
        async with self._database.acquire() as connection:
            row = await queries.select_site(connection, merchant_id=key[0], site_id=key[1])
        return Site(**row) if row else None

    async def _read_sku(self, key: tuple[int, str]) -> Sku | None:
        async with self._database.acquire() as connection:
            row = await queries.select_sku(connection, merchant_id=key[0], name=key[1])
        if row is None:
            return None
        prices = tuple(price_from_json(price) for price in json.loads(row["prices"]))
        return Sku(row["site_id"], row["name"], row["title"], prices)
