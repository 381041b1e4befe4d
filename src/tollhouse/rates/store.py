"""Stored reference rates: load a file, all of it or nothing, and read the newest table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from tollhouse.rates.ecb import RatesUnreadable, parse_tables
from tollhouse.rates.model import RateTable
from tollhouse.storage.database import Database, PlainConnection
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


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The result of loading a file. `changed` is the number of rates that are new or different."""

    days: int
    newest: date
    rates: int
    changed: int


async def load_rates(database: Database, content: bytes) -> LoadResult:
    """Load a file. Loading it again changes nothing. Raises RatesUnreadable and DatabaseUnavailable."""
    tables = parse_tables(content)
    newest = tables[0].day
    # Time zones differ by up to a day. A table from the future would take precedence over all later ones.
    if newest > datetime.now(UTC).date() + timedelta(days=1):
        raise RatesUnreadable(f"The file has rates of {newest}, which is in the future.")
    async with database.transaction() as connection:
        changed = await insert_tables(connection, tables)
    return LoadResult(len(tables), newest, sum(len(table.per_euro) for table in tables), changed)
