"""Exchange rates in memory, so that payments read no table.

The newest table applies: the built-in one until a newer one is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from tollhouse.kernel.money import Currency
from tollhouse.rates.ecb import load_shipped_table
from tollhouse.rates.model import Rate, RateTable, build_rates, load_parities
from tollhouse.rates.store import select_latest_table
from tollhouse.storage.database import Database


class Rates:
    """The current rates, as of the last `refresh`, which a loop calls every few seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._table = load_shipped_table()
        self._rates = build_rates(self._table, load_parities())

    async def refresh(self) -> None:
        """Load the newest table. Raises DatabaseUnavailable."""
        async with self._database.acquire() as connection:
            loaded = await select_latest_table(connection)
        self._replace(_choose_newer(load_shipped_table(), loaded))

    def all(self) -> Mapping[str, Rate]:
        """Return every known rate, by currency."""
        return self._rates

    def usd_per_unit(self, currency: Currency) -> Decimal | None:
        """Return the value of one unit of a currency in US dollars, or None if it is unknown."""
        rate = self._rates.get(currency.code)
        return rate.usd_per_unit if rate else None

    def _replace(self, table: RateTable) -> None:
        if table != self._table:
            self._rates = build_rates(table, load_parities())
            self._table = table


def _choose_newer(shipped: RateTable, loaded: RateTable | None) -> RateTable:
    """Return the newer table. For the same day, the loaded one applies."""
    return loaded if loaded is not None and loaded.day >= shipped.day else shipped
