"""What reading back costs on many rows: the feed by every filter, and the metric of the outbox.

    python -m bench.feed [ROWS]

Starts a PostgreSQL of its own, makes ROWS transactions of one merchant (200,000 by default) and as many of another,
and prints the median and the slowest of some looks, in milliseconds, with the index that each filter is served by.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from tollhouse.ipn.store import select_outbox_state
from tollhouse.payments.model import Mode, Status
from tollhouse.payments.reading.feed import FeedFilter, select_page
from tollhouse.storage.database import Database
from tollhouse.storage.embedded import EmbeddedPostgres
from tollhouse.storage.migrate import migrate

ROWS = 200_000
TIMES = 15

#: Of 100 transactions 97 are sales, 2 authorizations, 1 a capture or a credit; one in 200 is pending, one in 25 failed.
#: A rare site has one in a thousand; one consumer has a tenth of all, the others a handful each.
FILL = """
insert into transaction (
    merchant_id, transaction_id, payment_id, mode, status, amount_minor, currency, source_kind, brand, masked_number,
    expiry_month, expiry_year, account_id, is_stored, initiator, reason, code, created_at, finished_at, is_late
)
select
    m, n, case when n % 100 = 99 then n - 1 else n end,
    (case when n % 50 = 7 then 'auth' when n % 100 = 99 then case when n % 200 = 99 then 'credit' else 'capture' end
        else 'sale' end)::transaction_mode,
    s::transaction_status, 1999, 'USD',
    'card', 'visa', '402400****6348', 12, 2030, 'ae853c41-2d85-4c8a-9a61-3a5daeea311d', false,
    'customer', 'one_click', case s when 'success' then '0' when 'fail' then '5051' end,
    now() - make_interval(secs => 60 * n), case when s <> 'pending' then now() end, s <> 'pending' and n > 60
from generate_series(1, 2) as m, generate_series(1, $1::integer) as n
cross join lateral (
    select case when n % 200 = 13 then 'pending' when n % 25 = 3 then 'fail' else 'success' end as s
) as state;
"""
FILL_PAYMENTS = """
insert into payment (
    merchant_id, payment_id, site_id, consumer_id, terms, consumer, metadata, ipn_url, redirect_url, request_id,
    created_at
)
select
    t.merchant_id, t.payment_id, case when t.payment_id % 1000 = 5 then 8 else 7 end,
    case when t.payment_id % 10 = 0 then 'cguest' else 'c' || t.payment_id % 50000 end,
    '{"items": [{"siteId": 7, "title": "Premium", "prices": []}], "descriptor": "SHOP", "ipnFormat": "json",
        "mayRedirect": true, "proceedWithout3ds": true}',
    '{"email": "jane@shop.example", "ip": "203.0.113.45"}', '{"cart": "A-1001"}', 'http://127.0.0.1:9/ipn',
    'http://127.0.0.1:9/thanks', 'r' || t.payment_id, t.created_at
from transaction t
where t.payment_id = t.transaction_id;
"""
FILL_REST = """
insert into open_attempt (
    merchant_id, transaction_id, number, payment_id, acquirer, reference, state, fingerprint, sent_at, resolve_at
)
select merchant_id, transaction_id, 1, payment_id, 'simulated', transaction_id || '-1', 'unknown', '', created_at, now()
from transaction where status = 'pending';
insert into closed_attempt (merchant_id, transaction_id, number, acquirer, reference, state, sent_at)
select merchant_id, transaction_id, 1, 'simulated', transaction_id || '-1',
    (case status when 'fail' then 'declined' else 'approved' end)::attempt_state, created_at
from transaction where status <> 'pending';
"""
FILL_CLAIMS = """
insert into request_claim (merchant_id, operation, request_id, digest, payment_id)
select merchant_id, 'payment', request_id, '', payment_id from payment;
"""
FILL_OUTBOX = """
insert into delivery (merchant_id, event_id, position, host_id, thread, url, state, due_at, created_at)
select 1, n, n, n % 50, n, 'http://127.0.0.1:9/ipn', 'waiting', now(), now() - make_interval(secs => n)
from generate_series(1, $1::integer) as n;
"""

DAY = timedelta(days=1)
MIDDLE = datetime.now(UTC) - timedelta(minutes=ROWS // 2)
#: What is asked, and the index that serves it.
LOOKS: dict[str, tuple[FeedFilter, str]] = {
    "nothing": (FeedFilter(), "payment_recent"),
    "transactionId": (FeedFilter(transaction_id=ROWS // 2), "transaction_pkey"),
    "orderId": (FeedFilter(payment_id=98), "transaction_payment"),
    "requestId": (FeedFilter(request_id=f"r{ROWS // 2}"), "request_claim_pkey"),
    "consumerId, a few payments": (FeedFilter(consumer_id="c777"), "payment_consumer"),
    "consumerId, a tenth of all": (FeedFilter(consumer_id="cguest"), "payment_recent"),
    "consumerId, status": (FeedFilter(consumer_id="c777", status=Status.FAIL), "payment_consumer"),
    "from, to: a day": (FeedFilter(since=MIDDLE, until=MIDDLE + DAY), "payment_recent"),
    "status success": (FeedFilter(status=Status.SUCCESS), "payment_recent"),
    "status fail": (FeedFilter(status=Status.FAIL), "payment_recent"),
    "status pending": (FeedFilter(status=Status.PENDING), "payment_recent"),
    "mode credit": (FeedFilter(mode=Mode.CREDIT), "transaction_later"),
    "mode credit, status fail": (FeedFilter(mode=Mode.CREDIT, status=Status.FAIL), "transaction_later"),
    "mode chargeback (there is none)": (FeedFilter(mode=Mode.CHARGEBACK), "transaction_later"),
    "siteId, common": (FeedFilter(site_id=7), "payment_recent"),
    "siteId, one in a thousand": (FeedFilter(site_id=8), "payment_recent"),
    "siteId (there is none)": (FeedFilter(site_id=9), "payment_recent"),
    "siteId, status, mode sale": (FeedFilter(site_id=7, status=Status.FAIL, mode=Mode.SALE), "payment_recent"),
}


async def main(rows: int) -> None:
    """Fill a database, and print what each look takes."""
    with tempfile.TemporaryDirectory(prefix="tollhouse-bench-") as name:
        Path(name).chmod(0o711)  # noqa: ASYNC240 - nothing else goes on
        server = EmbeddedPostgres(Path(name) / "server", durable=False)
        dsn = await server.start()
        try:
            with as_file(files("tollhouse.storage").joinpath("migrations")) as directory:
                await migrate(dsn, schema="gateway", directory=directory)
            database = await Database.connect(dsn, schema="gateway", statement_seconds=300)
            await fill(database, rows)
            await measure(database)
            await database.close()
        finally:
            await server.stop()


async def fill(database: Database, rows: int) -> None:
    """Make the rows."""
    async with database.acquire() as connection:
        await connection.execute(FILL, rows)
        for statement in (FILL_PAYMENTS, FILL_REST, FILL_CLAIMS, "vacuum analyze"):
            await connection.execute(statement)


async def measure(database: Database) -> None:
    """Look, and print."""
    print("| filter | index | found | median ms | slowest ms |\n|---|---|---|---|---|")
    async with database.acquire() as connection:
        for name, (filter_, index) in LOOKS.items():

            async def scan(filter_: FeedFilter = filter_) -> Any:
                return await select_page(connection, 1, filter_, after=None, max_rows=50)

            page, median, slowest = await take_time(scan)
            more = ", more to come" if page.next else ""
            print(f"| {name} | `{index}` | {len(page.payments)}{more} | {median:.1f} | {slowest:.1f} |")
        print("\n| unfinished deliveries | depth told | median ms | slowest ms |\n|---|---|---|---|")
        for backlog in (0, 5_000, 1_000_000):
            await connection.execute("truncate delivery")
            await connection.execute(FILL_OUTBOX, backlog)
            await connection.execute("analyze delivery")
            state, median, slowest = await take_time(lambda: select_outbox_state(connection))
            print(f"| {backlog:,} | {state.depth:,} | {median:.1f} | {slowest:.1f} |")


async def take_time(work: Callable[[], Awaitable[Any]]) -> tuple[Any, float, float]:
    """Do it some times; return the last result, and the median and the slowest time in milliseconds."""
    result, seconds = None, []
    for _ in range(TIMES):
        begun = time.perf_counter()
        result = await work()
        seconds.append(time.perf_counter() - begun)
    return result, statistics.median(seconds) * 1000, max(seconds) * 1000


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS))
