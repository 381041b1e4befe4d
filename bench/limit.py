"""The limit: what PostgreSQL does with the rows of a payment when nothing but pgbench is in the way."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from bench.gateway import BenchFailed
from bench.machine import find_child
from tollhouse.storage.embedded import EmbeddedPostgres

SCRIPT = Path(__file__).with_name("limit.sql")
THREADS = 2
#: Ids of one client are apart from those of another by a million, those of one run from another's by this.
RUN_STEP = 1_000_000_000
RATE = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)
LATENCY = re.compile(r"^latency average = ([0-9.]+) ms", re.MULTILINE)
FAILED = re.compile(r"^number of failed transactions: ([0-9]+)", re.MULTILINE)

#: The rows of the newest payment, whose values pgbench writes again and again.
SAMPLE = """
select p.merchant_id, p.site_id, p.terms::text, p.consumer::text as consumer_json, p.metadata::text, p.ipn_url,
    p.redirect_url, t.network_transaction_id, k.fingerprint, a.approval_code, k.sealed_card, k.masked_number,
    c.profile::text, e.body, e.answer_length, r.digest
from payment p
join transaction t using (merchant_id, payment_id)
join attempt a using (merchant_id, transaction_id)
join request_claim r on r.merchant_id = p.merchant_id and r.payment_id = p.payment_id
join account k on k.merchant_id = p.merchant_id and k.account_id = t.account_id
join consumer c on c.merchant_id = p.merchant_id and c.consumer_id = p.consumer_id
join event e on e.merchant_id = p.merchant_id and e.transaction_id = t.transaction_id
where t.status = 'success'
order by p.payment_id desc
limit 1
"""


@asynccontextmanager
async def run_database(directory: Path) -> AsyncIterator[tuple[EmbeddedPostgres, int | None]]:
    """Run the database that a gateway left, durable as it was, and yield it with its process."""
    server = EmbeddedPostgres(directory)
    await server.start()
    try:
        yield server, find_child(os.getpid(), "postgres")
    finally:
        await server.stop()


async def read_sample(dsn: str) -> dict[str, str]:
    """Read the values of a payment that the gateway made, as pgbench takes them."""
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "gateway"})
    try:
        row = await connection.fetchrow(SAMPLE)
    finally:
        await connection.close()
    if row is None:
        raise BenchFailed("There is no payment to take the rows from.")
    return {name: f"\\x{value.hex()}" if isinstance(value, bytes) else str(value) for name, value in row.items()}


async def run_pgbench(
    server: EmbeddedPostgres,
    sample: dict[str, str],
    *,
    clients: int,
    seconds: float,
    run: int,
    script: Path = SCRIPT,
    schema: str = "gateway",
) -> dict[str, Any]:
    """Run the script for a while and return payments a second and the mean time of one."""
    values = {**sample, "n": "0", "base": str((run + 1) * RUN_STEP)}
    command = [
        str(server.binaries / "pgbench"), "--no-vacuum", "--protocol=prepared", f"--file={script}",
        f"--client={clients}", f"--jobs={min(clients, THREADS)}", f"--time={max(1, round(seconds))}",
        *(f"--define={name}={value}" for name, value in values.items()), server.dsn,
    ]  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        *command,
        env={"PGOPTIONS": f"-csearch_path={schema} -cjit=off"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, complaints = (part.decode() for part in await process.communicate())
    rate, latency, failed = RATE.search(output), LATENCY.search(output), FAILED.search(output)
    if process.returncode or rate is None or latency is None:
        raise BenchFailed(f"pgbench failed:\n{complaints[-2000:]}")
    return {"rate": float(rate[1]), "mean_ms": float(latency[1]), "errors": int(failed[1]) if failed else 0}
