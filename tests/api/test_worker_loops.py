"""The worker's loops as a process builds them: on which connections they work, and by which settings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import httpx
from aiohttp import web
from tests.support.callbacks import Endpoint, open_endpoint, wait_until
from tests.support.webshop import REDIRECT_URL, OpenShop, WebShop

from tollhouse.composition.app import Gateway
from tollhouse.composition.loops import build_loops
from tollhouse.storage.database import Database
from tollhouse.worker.run import run_loops


@asynccontextmanager
async def run_worker(gateway: Gateway, names: Collection[str] = ()) -> AsyncIterator[set[str]]:
    """Run these loops of the worker, or all, and yield the names of those that completed a round."""
    stop, completed = asyncio.Event(), set[str]()
    loops = build_loops(gateway, stop)
    chosen = {name: loop for name, loop in loops.items() if not names or name in names}
    running = asyncio.create_task(run_loops(chosen, stop, beat=completed.add))
    try:
        yield completed
    finally:
        stop.set()
        await running


async def test_loops_use_no_connection_of_the_payments(shop: WebShop, database_dsn: str) -> None:
    """Every loop of the worker completes a round while the connections for payments cannot be had."""
    closed = await Database.connect(database_dsn, schema="gateway", max_size=1)
    await closed.close()
    gateway = replace(
        shop.gateway,
        database=closed,
        pools=replace(shop.gateway.pools, payments=closed),
        parts=replace(shop.gateway.parts, database=closed),
    )
    names = set(build_loops(gateway, asyncio.Event()))
    # These keep what the whole process knows up to date.
    common = {"read time", "read rates", "read offsets"}
    async with run_worker(gateway, names - common) as completed:
        await wait_until(lambda: completed >= names - common, seconds=30)


async def pay(shop: WebShop, ipn_url: str, number: int) -> httpx.Response:
    """Pay; each number is another payment."""
    url = {"ipnUrl": ipn_url, "redirectUrl": REDIRECT_URL}
    return await shop.pay(shop.payment(url=url, metadata={"number": str(number)}))


def has_seen(endpoint: Endpoint, count: int) -> bool:
    """Tell whether an endpoint had so many callbacks."""
    return len(endpoint.seen) == count


async def test_places_of_an_endpoint_are_a_setting(opened: OpenShop) -> None:
    """An endpoint has as many callbacks at a time as `TOLLHOUSE_CALLBACK_PLACES_BY_ENDPOINT` says."""
    shop = await opened(callback_places_by_endpoint=2)

    async def answer_slowly(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.2)
        return web.Response()

    async with (
        open_endpoint(200, answer_slowly) as endpoint,
        run_worker(shop.gateway, {"number events", "deliver events"}),
    ):
        for total in (1, 9):  # an endpoint has its places once it has acknowledged
            numbers = range(len(endpoint.seen), total)
            paid = await asyncio.gather(*(pay(shop, endpoint.url, number) for number in numbers))
            assert {answer.status_code for answer in paid} == {201}
            await wait_until(partial(has_seen, endpoint, total), seconds=30)
    assert endpoint.most_under_way == 2
