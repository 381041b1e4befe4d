"""What a payment leaves in the tables: bytes of all tables and indexes, and how many updates stayed on their page.

The size after `vacuum full` is what lasts; the size before it includes dead versions of rows, whose space is reused.
A first load creates the consumers who come back in the measured one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from bench.gateway import dsn_of

SIZES = """
select relname as name, pg_total_relation_size(oid) as bytes
from pg_class where relnamespace = 'gateway'::regnamespace and relkind = 'r'
"""
UPDATES = """
select relname as name, n_tup_upd as updated, n_tup_hot_upd as hot from pg_stat_user_tables where schemaname = 'gateway'
"""
PAYMENTS = "select count(*) from gateway.payment"
SHOWN = 12


@dataclass(frozen=True, slots=True)
class Rows:
    """The tables at one moment."""

    payments: int
    bytes: dict[str, int]
    updated: dict[str, int]
    hot: dict[str, int]

    def since(self, earlier: Rows) -> dict[str, Any]:
        """Return what each payment cost since then, as a whole and by table."""
        payments = max(1, self.payments - earlier.payments)
        grown = {name: (size - earlier.bytes.get(name, 0)) / payments for name, size in self.bytes.items()}
        updated = {name: number - earlier.updated.get(name, 0) for name, number in self.updated.items()}
        hot = {name: number - earlier.hot.get(name, 0) for name, number in self.hot.items()}
        tables = {
            name: {"bytes": round(size, 1), "updated": updated[name] / payments, "hot": hot[name] / payments}
            for name, size in sorted(grown.items(), key=lambda one: -one[1])[:SHOWN]
            if size > 0
        }
        return {
            "payments": payments,
            "bytes_a_payment": sum(grown.values()),
            "hot_share": sum(hot.values()) / max(1, sum(updated.values())),
            "updates_a_payment": sum(updated.values()) / payments,
            "tables": tables,
        }


async def compact(directory: Path) -> None:
    """Rewrite all tables of the gateway, so that only what lasts takes space."""
    connection = await asyncpg.connect(dsn_of(directory))
    try:
        for row in await connection.fetch(SIZES):
            await connection.execute(f'vacuum full gateway."{row["name"]}"')
    finally:
        await connection.close()


async def read_rows(directory: Path) -> Rows:
    """Read sizes and counts of the gateway's tables."""
    connection = await asyncpg.connect(dsn_of(directory))
    try:
        sizes, updates = await connection.fetch(SIZES), await connection.fetch(UPDATES)
        return Rows(
            payments=await connection.fetchval(PAYMENTS),
            bytes={row["name"]: row["bytes"] for row in sizes},
            updated={row["name"]: row["updated"] for row in updates},
            hot={row["name"]: row["hot"] for row in updates},
        )
    finally:
        await connection.close()


def print_rows(numbers: dict[str, Any]) -> None:
    """Print what a payment leaves, table by table."""
    print(
        f"  a payment leaves {numbers['bytes_a_payment']:.0f} bytes, "
        f"{numbers['written_a_payment']:.0f} with dead rows; "
        f"{numbers['updates_a_payment']:.2f} updates, {numbers['hot_share']:.2f} of them HOT"
    )
    for name, table in numbers["tables"].items():
        print(f"    {name:24}{table['bytes']:8.0f} bytes{table['updated']:8.2f} updates, HOT {table['hot']:.2f}")
