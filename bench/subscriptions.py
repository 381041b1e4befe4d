"""Many subscriptions that are due at once, and ten years of one."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg

from bench.gateway import BenchFailed, Gateway, dsn_of

#: Twice what the window takes on a machine that is four times as fast as ours.
SUBSCRIPTIONS = 100_000
TEN_YEARS = timedelta(days=3653)
#: The gateway gives a call to its clock up after ten minutes.
CLOCK_TIMEOUT_SECONDS = 630

#: Copies of the one subscription that signed up. Each is of a payment of the load, with the consumer, the stored card
#: and the agreement of that payment, and all have been due since yesterday.
FILL = """
insert into subscription (
    merchant_id, subscription_id, payment_id, site_id, consumer_id, account_id, sku_name, title, status, prices,
    anchor_at, renewal_at, charge_at, due_at, charged_at, paid_until, network_transaction_id, created_at
)
select one.merchant_id, one.subscription_id + n, p.payment_id, one.site_id, p.consumer_id, p.account_id, one.sku_name,
    one.title, one.status, one.prices, due.at - interval '30 days', due.at, due.at, due.at, due.at - interval '30 days',
    due.at, p.network_transaction_id, one.created_at
from (select * from subscription order by subscription_id limit 1) as one
cross join generate_series(1, $1::integer) as n
join (
    select payment_id, consumer_id, t.account_id, t.network_transaction_id,
        row_number() over (order by payment_id) - 1 as place, count(*) over () as payments
    from payment join transaction t using (merchant_id, payment_id)
    where t.status = 'success'
) as p on p.place = n % p.payments
cross join lateral (select now() - interval '1 day' + make_interval(secs => n * 0.5) as at) as due
"""
#: Nobody should take them for a fault: they are in the forecast of this hour and, should it end meanwhile, the next.
FORESEE = """
insert into renewal_hour (hour, forecast)
select date_trunc('hour', now(), 'UTC') + make_interval(hours => n), $1::integer from generate_series(0, 1) as n
on conflict (hour) do update set forecast = excluded.forecast
"""
#: The one that signed up is not due.
COUNT = "select count(*) from renewal where state = 'paid'"


async def fill_subscriptions(directory: Path) -> None:
    """Write the copies into a database in which a gateway made payments and one sign-up."""
    connection = await asyncpg.connect(dsn_of(directory), server_settings={"search_path": "gateway"}, timeout=60)
    try:
        await connection.execute(FILL, SUBSCRIPTIONS)
        await connection.execute(FORESEE, SUBSCRIPTIONS)
        await connection.execute("analyze")
    finally:
        await connection.close()


async def count_renewals(directory: Path, seconds: float) -> dict[str, Any]:
    """Return how many renewals a second were paid in a window."""
    connection = await asyncpg.connect(dsn_of(directory), server_settings={"search_path": "gateway"})
    try:
        began, before = time.monotonic(), await connection.fetchval(COUNT)
        await asyncio.sleep(seconds)
        took, count = time.monotonic() - began, await connection.fetchval(COUNT)
    finally:
        await connection.close()
    if count >= SUBSCRIPTIONS:
        raise BenchFailed("There were too few subscriptions for this machine.")
    if count == before:
        raise BenchFailed("Nothing was renewed.")
    return {"rate": (count - before) / took}


async def sign_up(gateway: Gateway, *, offset: str) -> None:
    """Begin a subscription at 19.99 each so often, as a merchant does."""
    prices = [
        {"offset": "0d", "amount": 9.99, "currency": "USD", "repeat": False},
        {"offset": offset, "amount": 19.99, "currency": "USD", "repeat": True},
    ]
    body = {
        "paymentSource": {
            "type": "card", "number": "4024007179366348", "expirationMonth": "12", "expirationYear": "40", "cvv": "009",
        },
        "sku": {"siteId": gateway.site_id, "title": "Benchmark", "price": prices},
        "consumer": {
            "externalId": "subscriber", "firstName": "Jane", "lastName": "Smith", "email": "jane@shop.example",
            "ip": "203.0.113.45", "country": "USA", "zip": "10001",
        },
        "url": {"ipnUrl": "http://127.0.0.1:9/ipn", "redirectUrl": "https://shop.example/thanks"},
        "metadata": {"cart": "subscription", "campaign": "winter"},
    }  # fmt: skip
    await post(gateway, "/payment", body, timeout_seconds=30)


async def live_ten_years(gateway: Gateway) -> dict[str, Any]:
    """Advance the merchant's clock by ten years in one call, and return how long that took and what was renewed."""
    until = datetime.now(UTC) + TEN_YEARS
    began = time.monotonic()
    await post(gateway, "/stage/clock", {"until": until.isoformat()}, timeout_seconds=CLOCK_TIMEOUT_SECONDS)
    seconds = time.monotonic() - began
    connection = await asyncpg.connect(dsn_of(gateway.directory), server_settings={"search_path": "gateway"})
    try:
        count = await connection.fetchval(COUNT)
    finally:
        await connection.close()
    return {"rate": count / seconds, "seconds": seconds, "renewals": count}


async def post(gateway: Gateway, path: str, body: dict[str, Any], *, timeout_seconds: float) -> None:
    """Call the gateway. Raises BenchFailed unless it does what was asked."""
    status, answer = await asyncio.to_thread(_post, gateway, path, json.dumps(body), timeout_seconds)
    if status not in {200, 201}:
        raise BenchFailed(f"POST {path} was answered with {status}: {answer[:500]!r}")


def _post(gateway: Gateway, path: str, body: str, timeout_seconds: float) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(gateway.base_url.removeprefix("http://"), timeout=timeout_seconds)
    try:
        headers = {"Authorization": gateway.api_key, "Content-Type": "application/json"}
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
