"""Database access for rates."""

from __future__ import annotations

from collections.abc import Sequence

from tollhouse.rates.model import RateTable
from tollhouse.storage.database import PlainConnection
from tollhouse.storage.queries import load_queries

queries = load_queries("tollhouse.rates")


async def insert_tables(connection: PlainConnection, tables: Sequence[RateTable]) -> int:
    """Replace the tables of these days, and return the number of changed rates."""
    rows = [(table.day, currency, rate) for table in tables for currency, rate in sorted(table.per_euro.items())]
    days, currencies = [row[0] for row in rows], [row[1] for row in rows]
    removed: int = await queries.delete_other_rates(
        connection, days=[table.day for table in tables], table_days=days, currencies=currencies
    )
    written: int = await queries.insert_rates(
        connection, days=days, currencies=currencies, rates=[row[2] for row in rows]
    )
    return removed + written


async def select_latest_table(connection: PlainConnection) -> RateTable | None:
    """Return the table of the newest day, or None."""
    rows = [row async for row in queries.select_latest_rates(connection)]
    return RateTable(rows[0]["day"], {row["currency"]: row["rate"] for row in rows}) if rows else None
