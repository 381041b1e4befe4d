"""The limits that no schema of the gateway moves: pgbench on tables of their own, in an empty database.

`lean` has the fewest rows that hold a payment, `first edition` the rows of the first edition as they were frozen.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg

from bench.gateway import data_directory
from bench.limit import run_pgbench
from bench.machine import find_child
from tollhouse.storage.embedded import EmbeddedPostgres

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = Path(__file__).parent
SCHEMA = "fixed_limit"


@dataclass(frozen=True, slots=True)
class FixedLimit:
    """A limit: the file with its tables, the script of one payment, and the script's values."""

    name: str
    schema: Path
    script: Path
    values: Mapping[str, str]


def read_values(path: Path) -> dict[str, str]:
    """Read the values of a script."""
    values: dict[str, str] = json.loads(path.read_text())
    return values


LEAN = FixedLimit("lean limit", HERE / "lean_schema.sql", HERE / "lean_limit.sql", {})
FIRST_EDITION = FixedLimit(
    "first edition limit",
    HERE / "first_edition_schema.sql",
    HERE / "first_edition_limit.sql",
    read_values(HERE / "first_edition_values.json"),
)


@asynccontextmanager
async def open_limit(limit: FixedLimit) -> AsyncIterator[tuple[EmbeddedPostgres, int | None]]:
    """Run an empty database with the tables of a limit, and yield it with its process."""
    async with data_directory() as directory:
        server = EmbeddedPostgres(directory)
        dsn = await server.start()
        try:
            await _create_tables(dsn, limit)
            yield server, find_child(os.getpid(), "postgres")
        finally:
            await server.stop()


async def _create_tables(dsn: str, limit: FixedLimit) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f"create schema {SCHEMA}; set search_path to {SCHEMA}; {limit.schema.read_text()}")
    finally:
        await connection.close()


async def run_limit(
    limit: FixedLimit, server: EmbeddedPostgres, *, clients: int, seconds: float, run: int
) -> dict[str, Any]:
    """Run a limit's script for a while and return payments a second and the mean time of one."""
    values = dict(limit.values)
    return await run_pgbench(
        server, values, clients=clients, seconds=seconds, run=run, script=limit.script, schema=SCHEMA
    )
