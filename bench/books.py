"""How long it takes to prove the books: generated transactions with their entries, and `verify_ledger` over them.

python -m bench.books --transactions 1000000
"""

from __future__ import annotations

import argparse
import asyncio
import time
from importlib.resources import as_file, files

import asyncpg

from bench.gateway import data_directory
from tollhouse.ledger_check.verify import verify_ledger, verify_new_entries
from tollhouse.storage.database import Database
from tollhouse.storage.embedded import EmbeddedPostgres
from tollhouse.storage.migrate import migrate

#: Of ten transactions six are sales, one an authorization, one its capture of a part, one a credit, one a decline.
FILL = """
insert into transaction (
    merchant_id, transaction_id, payment_id, mode, status, amount_minor, currency, source_kind, brand, masked_number,
    expiry_month, expiry_year, account_id, is_stored, initiator, reason, code, created_at, finished_at
)
select 1 + n / 10 % 20, n, case when n % 10 in (7, 8) then n - 1 else n end,
    (array['sale', 'sale', 'sale', 'sale', 'sale', 'sale', 'auth', 'capture', 'credit', 'sale'])
        [1 + n % 10]::transaction_mode,
    case n % 10 when 9 then 'fail' else 'success' end::transaction_status,
    case n % 10 when 6 then 2000 when 7 then 1500 when 8 then 100 else 1999 end,
    case when n / 10 % 3 = 0 then 'EUR' else 'USD' end,
    'card', 'visa', '402400****6348', 12, 2029, 'ae853c41-2d85-4c8a-9a61-3a5daeea311d', false,
    'customer', 'one_click', '0', now(), now()
from generate_series(0, $1 - 1) as n
"""
FIX_CREDITS = "update transaction set payment_id = payment_id - 1 where mode = 'credit'"
POST = """
insert into ledger_entry (merchant_id, transaction_id, number, debit, credit, amount_minor, currency)
select merchant_id, transaction_id, way.number, way.debit, way.credit,
    case way.number when 3 then 500 else amount_minor end, currency
from transaction
join (
    values
        ('sale'::transaction_mode, 1::smallint, 'money.acquirers'::ledger_account, 'money.merchants'::ledger_account),
        ('auth', 1, 'holds.issuers', 'holds.merchants'),
        ('capture', 1, 'holds.merchants', 'holds.issuers'),
        ('capture', 2, 'money.acquirers', 'money.merchants'),
        ('capture', 3, 'holds.merchants', 'holds.issuers'),
        ('credit', 1, 'money.credits', 'money.acquirers')
) as way (mode, number, debit, credit) using (mode)
where status = 'success'
"""


async def main(transactions: int) -> None:
    """Fill a fresh database, and prove what is in it: once as it is, once more warm, and one step of the worker."""
    async with data_directory() as directory:
        server = EmbeddedPostgres(directory)
        dsn = await server.start()
        try:
            with as_file(files("tollhouse.storage").joinpath("migrations")) as migrations:
                await migrate(dsn, schema="gateway", directory=migrations)
            await fill(dsn, transactions)
            await measure(dsn)
        finally:
            await server.stop()


async def fill(dsn: str, transactions: int) -> None:
    """Write the rows, and let the planner see them."""
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "gateway"})
    try:
        await connection.execute(FILL, transactions)
        await connection.execute(FIX_CREDITS)
        await connection.execute(POST)
        await connection.execute("vacuum analyze")
    finally:
        await connection.close()


async def measure(dsn: str) -> None:
    """Print what was found and how long it took."""
    database = await Database.connect(dsn, schema="gateway", statement_seconds=600)
    try:
        for _ in range(2):
            started = time.monotonic()
            report = await verify_ledger(database)
            seconds = time.monotonic() - started
            print(f"{report.entries:,} entries, {len(report.violations)} violations, {seconds:.2f} s")
            for violation in report.violations[:5]:
                print(violation)
        started = time.monotonic()
        await verify_new_entries(database)
        print(f"a step of the worker: {(time.monotonic() - started) * 1000:.0f} ms")
    finally:
        await database.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transactions", type=int, default=1_000_000)
    asyncio.run(main(parser.parse_args().transactions))
