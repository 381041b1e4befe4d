"""Loading a file of reference rates: all of it, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from tollhouse.rates.ecb import RatesUnreadable, parse_tables
from tollhouse.rates.store import insert_tables

if TYPE_CHECKING:
    from tollhouse.storage.database import Database


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a file held. `changed` is how many rates were not there before, or otherwise."""

    days: int
    newest: date
    rates: int
    changed: int


async def load_rates(database: Database, content: bytes) -> Loaded:
    """Load a file; loading it again changes nothing. Raises RatesUnreadable and DatabaseUnavailable."""
    tables = parse_tables(content)
    newest = tables[0].day
    # Days begin at different times on earth, and a table of the future would stand before all that come.
    if newest > datetime.now(UTC).date() + timedelta(days=1):
        raise RatesUnreadable(f"The file has rates of {newest}, which is in the future.")
    async with database.transaction() as connection:
        changed = await insert_tables(connection, tables)
    return Loaded(len(tables), newest, sum(len(table.per_euro) for table in tables), changed)
