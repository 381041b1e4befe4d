"""Load a file of reference rates: all of it, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from tollhouse.rates.ecb import RatesUnreadable, parse_tables
from tollhouse.rates.store import insert_tables
from tollhouse.storage.database import Database


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
