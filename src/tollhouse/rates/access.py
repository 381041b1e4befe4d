"""What currencies are worth, from memory: a payment asks no one.

The newest table counts: the one that came with the program until a newer one is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

from tollhouse.rates.ecb import load_shipped_table
from tollhouse.rates.model import Rate, Table, build_rates, convert, load_parities
from tollhouse.rates.store import select_latest_table

if TYPE_CHECKING:
    from tollhouse.kernel.money import Currency, Money
    from tollhouse.storage.database import Database


class Rates:
    """Knows the rates as they were a few seconds ago, if somebody calls `refresh` every few seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._table = load_shipped_table()
        self._rates = build_rates(self._table, load_parities())

    async def refresh(self) -> None:
        """Read the newest table. Raises DatabaseUnavailable."""
        async with self._database.acquire() as connection:
            loaded = await select_latest_table(connection)
        self._take(_newer(load_shipped_table(), loaded))

    def all(self) -> Mapping[str, Rate]:
        """Return every rate that is known, by currency."""
        return self._rates

    def usd_per_unit(self, currency: Currency) -> Decimal | None:
        """Return what a unit of a currency is worth in US dollars, or None where that is not known."""
        rate = self._rates.get(currency.code)
        return rate.usd_per_unit if rate else None

    def to_usd(self, money: Money) -> Decimal | None:
        """Convert to US dollars at today's rate, in whole cents; None where no rate is known, as for metals."""
        rate = self.usd_per_unit(money.currency)
        return None if rate is None else convert(money, rate)

    def _take(self, table: Table) -> None:
        if table != self._table:
            self._rates = build_rates(table, load_parities())
            self._table = table


def _newer(shipped: Table, loaded: Table | None) -> Table:
    """Choose between the two; what was loaded for the same day counts."""
    return loaded if loaded is not None and loaded.day >= shipped.day else shipped
