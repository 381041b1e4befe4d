"""The virtual clock as a merchant moves it: what falls due on the way happens in its order, each thing at its time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import httpx
import pytest
from tests.support.listener import Listener
from tests.support.webshop import (
    REDIRECT_URL,
    OpenShop,
    WebShop,
    card,
    clone_database,
    consumer,
    open_client,
    open_webshop,
    price,
)

from tollhouse.composition.loops import READ_OFFSETS_INTERVAL_SECONDS, build_loops, build_web_loops
from tollhouse.composition.web import build_web
from tollhouse.ipn.delivery.schedule import HORIZON, JITTER, RETRY_INTERVALS
from tollhouse.vault.keys import FileKeyProvider
from tollhouse.worker.run import run_loops

PATH = "/stage/clock"
EXPIRED = {"paymentSource.token": ["has expired; tokenize the card again"]}
#: Of several processes of one gateway.
KEYS = FileKeyProvider({1: bytes(range(32))}, bytes(range(32, 64)))
#: Nobody listens there.
DEAF = "http://127.0.0.1:9/ipn"


@pytest.fixture
def listener() -> Iterator[Listener]:
    """The merchant's server."""
    listening = Listener(secret="secret")
    yield listening
    listening.close()


async def advance(shop: WebShop, by: str, *, key: str | None = None) -> dict[str, Any]:
    """Advance the clock and return the answer."""
    answer = await shop.post(PATH, {"advance": by}, key=key)
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


async def look(shop: WebShop, *, key: str | None = None) -> dict[str, Any]:
    """Read the clock."""
    answer = await shop.get(PATH, key=key)
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


async def authorize(shop: WebShop, offset: str, url: str, **request: Any) -> dict[str, Any]:
    """Authorize 19.99 that is captured later."""
    body = shop.payment(
        sku=shop.sku(price(offset=offset)), consumer=consumer(), url={"ipnUrl": url, "redirectUrl": REDIRECT_URL}
    )
    answer = await shop.pay(body, **request)
    assert (answer.status_code, answer.json()["payment"]["mode"]) == (201, "auth"), answer.text
    payment: dict[str, Any] = answer.json()["payment"]
    return payment


def ahead(at: str) -> timedelta:
    """Return how far a time of an answer is ahead of the real one."""
    return datetime.fromisoformat(at) - datetime.now(UTC)


def is_about(span: timedelta, **expected: float) -> bool:
    """Tell whether a span is as long as this, but for what a test takes."""
    return abs(span - timedelta(**expected)) < timedelta(minutes=3)


async def test_clock_without_work_advances_in_one_step(shop: WebShop) -> None:
    """A clock that nothing waits for goes where it is told in one step, and says so."""
    assert await look(shop) | {"now": ""} == {"now": "", "ahead": "PT0S", "next": []}
    moved = await advance(shop, "30d")
    assert (moved["advanced"], moved["steps"]) == ("P30D", 1)
    assert is_about(ahead(moved["now"]), days=30)
    assert is_about(ahead((await look(shop))["now"]), days=30)
    assert is_about(ahead((await look(shop, key=shop.other.key))["now"]))


async def test_due_work_is_done_at_its_time(shop: WebShop, listener: Listener) -> None:
    """Captures fall due one after the other, each at its instant; their callbacks were delivered when it answers."""
    for offset in ("3d", "1d", "2d"):
        await authorize(shop, offset, listener.url)
    before = await look(shop)
    assert [due["kind"] for due in before["next"]] == ["authorization"]
    moved = await advance(shop, "10d")
    assert moved["steps"] >= 4  # work that falls due in real time meanwhile is a step of its own
    modes = [one["body"]["payment"]["mode"] for one in listener.callbacks]
    assert modes == ["auth"] * 3 + ["settle"] * 3
    assert listener.forged == 0
    times = [datetime.fromtimestamp(int(one["body"]["timestamp"]["unixTime"]), UTC) for one in listener.callbacks[3:]]
    begun = datetime.fromisoformat(before["now"])
    assert [round((at - begun) / timedelta(days=1)) for at in times] == [1, 2, 3]
    assert (await look(shop))["next"] == []


async def test_challenge_expires_by_the_clock(shop: WebShop, listener: Listener) -> None:
    """A cardholder who does not come has a quarter of an hour; then the payment ends and a callback tells of it."""
    body = shop.payment(
        {"type": "card", "3ds": True} | card("challenge"), url={"ipnUrl": listener.url, "redirectUrl": REDIRECT_URL}
    )
    assert (await shop.pay(body)).json()["payment"]["status"] == "pending"
    await advance(shop, "PT14M")
    assert listener.callbacks == []
    assert [due["kind"] for due in (await look(shop))["next"]] == ["challenge"]
    await advance(shop, "PT1M")
    [callback] = listener.callbacks
    assert callback["body"]["payment"]["code"] == "1011"


async def test_tokens_and_pages_expire_by_the_clock(shop: WebShop) -> None:
    """Tokens and pages end by the clock of the merchant that moved it, and by no other's."""
    token, page = await shop.token(), await make_payment_page(shop, ttl="1h")
    await advance(shop, "PT16M")
    source = {"type": "token", "token": token}
    assert (await shop.pay(shop.payment(source))).json()["errors"] == EXPIRED
    other = shop.payment(source, sku=shop.sku(siteId=str(shop.other.site_id)))
    assert (await shop.pay(other, key=shop.other.key)).json()["payment"]["status"] == "success"
    assert (await shop.client.get(page)).status_code == 200
    await advance(shop, "PT44M")
    assert (await shop.client.get(page)).status_code == 410


async def make_payment_page(shop: WebShop, *, ttl: str) -> str:
    """Create a payment page and return its path."""
    sku = shop.sku(url={"ipnUrl": DEAF, "redirectUrl": REDIRECT_URL})
    body = {"sku": sku, "consumer": consumer(), "ttl": ttl}
    answer = await shop.post("/paymentPage", body)
    assert answer.status_code == 201, answer.text
    return str(httpx.URL(answer.json()["url"]).path)


async def test_rejected_callback_is_retried_by_the_clock(shop: WebShop) -> None:
    """All thirteen attempts are made, by the schedule of the documentation in the merchant's time, and then no more."""
    answer = await shop.pay(shop.payment(url={"ipnUrl": DEAF, "redirectUrl": REDIRECT_URL}))
    moved = await advance(shop, "30d")
    rows = await shop.fetch(
        "select merchant_time_v1(merchant_id, started_at) as at, next_at from delivery_attempt order by number"
    )
    waits = [after["at"] - before["at"] for before, after in pairwise(rows)]
    expected = [*RETRY_INTERVALS, RETRY_INTERVALS[-1], RETRY_INTERVALS[-1], RETRY_INTERVALS[-1]]
    assert len(waits) == 12
    for wait, longest in zip(waits, expected, strict=True):
        assert longest * (1 - JITTER) <= wait <= longest + timedelta(minutes=2)
    assert rows[-1]["at"] - rows[0]["at"] <= HORIZON
    assert rows[-1]["next_at"] is None
    assert moved["steps"] >= 13
    record = (await shop.get(f"/transaction/{answer.json()['payment']['transactionId']}/ipn")).json()
    assert (record["attemptNumber"], record["state"]) == (13, "failed")


async def test_unknown_outcome_is_queried_before_the_next_step(shop: WebShop) -> None:
    """A lost answer is inquired about before the clock goes on."""
    await shop.post("/stage/faults", {"fault": "dropAfter"})
    answer = await shop.pay()
    assert answer.json()["payment"]["status"] == "pending"
    await advance(shop, "1d")
    stored = await shop.get(f"/payment/{answer.json()['payment']['transactionId']}")
    assert stored.json()["payment"]["status"] == "success"


async def test_clock_reaches_its_goal_exactly(shop: WebShop) -> None:
    """A goal is reached to the moment, whatever falls due on the way; the clock does not go back."""
    await authorize(shop, "3d", DEAF)
    goal = (datetime.now(UTC) + timedelta(days=20)).replace(microsecond=0)
    answer = await shop.post(PATH, {"until": goal.isoformat()})
    assert answer.status_code == 200, answer.text
    assert timedelta() <= datetime.fromisoformat(answer.json()["now"]) - goal < timedelta(minutes=1)
    refused = await shop.post(PATH, {"until": goal.isoformat()})
    assert refused.status_code == 400
    assert set(refused.json()["errors"]) == {"until"}
    assert is_about(ahead((await look(shop))["now"]), days=20)


async def test_months_and_years_follow_the_calendar(shop: WebShop) -> None:
    """Months and years are those of the calendar, as in prices."""
    year = datetime.now(UTC).year
    await shop.post(PATH, {"until": f"{year + 1}-01-31T12:00:00Z"})
    assert (await advance(shop, "1m"))["now"][:10] == f"{year + 1}-02-28" or (year + 1) % 4 == 0
    assert (await advance(shop, "1y"))["now"][:7] == f"{year + 2}-02"


async def test_clocks_of_two_merchants_are_independent(shop: WebShop, listener: Listener) -> None:
    """Two merchants move their clocks at once: each goes as far as it wants, and meets what is its own."""
    await authorize(shop, "3d", listener.url)
    body = shop.payment(
        sku=shop.sku(price(offset="3d"), siteId=str(shop.other.site_id)),
        url={"ipnUrl": listener.url, "redirectUrl": REDIRECT_URL},
    )
    await shop.pay(body, key=shop.other.key)
    near, far = await asyncio.gather(advance(shop, "2d"), advance(shop, "300d", key=shop.other.key))
    assert is_about(ahead(near["now"]), days=2)
    assert is_about(ahead(far["now"]), days=300)
    rows = await shop.fetch("select merchant_id from transaction where mode = 'capture'")
    assert [row["merchant_id"] for row in rows] == [shop.other.merchant_id]


async def test_concurrent_advance_is_409(shop: WebShop) -> None:
    """While a clock is being moved another call is told to come later; the clock moves once."""
    await authorize(shop, "3d", DEAF)
    answers = await asyncio.gather(*(shop.post(PATH, {"advance": "10d"}) for _ in range(4)))
    statuses = sorted(answer.status_code for answer in answers)
    moved = statuses.count(200)
    assert statuses == [200] * moved + [409] * (4 - moved)
    assert 1 <= moved < 4
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 409)
    assert is_about(ahead((await look(shop))["now"]), days=10 * moved)


async def test_restart_keeps_the_clock(postgres_dsn: str, template: str) -> None:
    """A clock is where it was left, in a new process, and what was due there then still is."""
    async with clone_database(postgres_dsn, template) as dsn:
        async with open_webshop(dsn, keys=KEYS) as shop:
            await authorize(shop, "3d", DEAF)
            await advance(shop, "2d")
            # A process that died while it moved the clock holds nobody up for long.
            await shop.execute("update merchant set clock_lease = gen_random_uuid(), clock_lease_until = now()")
        async with open_webshop(dsn, keys=KEYS) as shop:
            assert is_about(ahead((await look(shop))["now"]), days=2)
            paid = (await shop.pay()).json()["payment"]["timestamp"]
            assert is_about(datetime.fromtimestamp(int(paid["unixTime"]), UTC) - datetime.now(UTC), days=2)
            await advance(shop, "1d")
            assert len(await shop.fetch("select from transaction where mode = 'capture'")) == 1


async def test_worker_in_another_process_shares_the_work(opened: OpenShop, listener: Listener) -> None:
    """With a worker that takes part of the work all happens once and in order, and that process soon knows the time."""
    here, there = await opened(keys=KEYS), await opened(keys=KEYS)
    for n in range(6):
        await authorize(here, f"{1 + n % 3}d", listener.url)
    stop = asyncio.Event()
    working = asyncio.create_task(run_loops(build_loops(there.gateway, stop), stop))
    try:
        await advance(here, "20d")
        modes = [one["body"]["payment"]["mode"] for one in listener.callbacks]
        assert sorted(modes) == ["auth"] * 6 + ["settle"] * 6
        async with asyncio.timeout(10):
            while not is_about(there.gateway.parts.clock.offset_of(1), days=20):  # noqa: ASYNC110 - a loop reads it
                await asyncio.sleep(0.01)
    finally:
        stop.set()
        await working
    rows = await here.fetch(
        """
        select o.created_at >= date_trunc('second', h.finished_at) + '1 day' as in_time, count(*)
        from transaction o join transaction h using (merchant_id, payment_id)
        where o.mode = 'capture' and h.mode = 'auth' group by 1
        """
    )
    assert [tuple(row) for row in rows] == [(True, 6)]


async def test_other_processes_know_the_time_at_the_response(opened: OpenShop) -> None:
    """Where there are other processes the answer waits until their loops have read the time."""
    here, there = await opened(keys=KEYS), await opened(keys=KEYS)
    stop = asyncio.Event()
    reading = asyncio.create_task(run_loops(build_web_loops(there.gateway, stop), stop))
    web = build_web(here.gateway, others_learn_seconds=2 * READ_OFFSETS_INTERVAL_SECONDS)
    try:
        async with open_client(web) as client:
            answer = await client.post(PATH, json={"advance": "30d"}, headers={"Authorization": here.merchant.key})
        assert answer.status_code == 200
        assert is_about(there.gateway.parts.clock.offset_of(here.merchant.merchant_id), days=30)
    finally:
        stop.set()
        await reading


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"advance"}),
        ([], {"advance"}),
        ({"advance": "1d", "until": "2999-01-01T00:00:00Z"}, {"advance"}),
        ({"advance": "1d", "by": "2d", "Until": "x"}, {"by", "Until"}),
        ({"advance": 30}, {"advance"}),
        ({"advance": "30"}, {"advance"}),
        ({"advance": "-1d"}, {"advance"}),
        ({"advance": "15min"}, {"advance"}),
        ({"advance": "PT"}, {"advance"}),
        ({"advance": "P1D"}, {"advance"}),
        ({"advance": "PT15M "}, {"advance"}),
        ({"advance": "PT1.5H"}, {"advance"}),
        ({"advance": "21y"}, {"advance"}),
        ({"advance": "7306d"}, {"advance"}),
        ({"advance": "PT999999H"}, {"advance"}),
        ({"until": "2020-01-01T00:00:00Z"}, {"until"}),
        ({"until": "2999-01-01T00:00:00Z"}, {"until"}),
        ({"until": "2027-01-31T12:00:00"}, {"until"}),
        ({"until": "2027-02-30T12:00:00Z"}, {"until"}),
        ({"until": "2027-02-30 12:00:00"}, {"until"}),
        ({"until": "2027-01-31"}, {"until"}),
        ({"until": 1893456000}, {"until"}),
        ({"until": "x", "advance": "x", "more": 1}, {"until", "advance", "more"}),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_faulty_request_moves_nothing(refusing_shop: WebShop, body: Any, fields: set[str]) -> None:
    """What is no way to move a clock is refused with all that is wrong about it, and moves nothing."""
    answer = await refusing_shop.post(PATH, body)
    assert answer.status_code == 400, answer.text
    assert set(answer.json()["errors"]) == fields
    assert all(re.fullmatch(r"[^{}]+", text) for texts in answer.json()["errors"].values() for text in texts)
    assert is_about(ahead((await look(refusing_shop))["now"]))


async def test_every_documented_form_is_accepted(shop: WebShop) -> None:
    """Each of the documented forms moves the clock by what it says."""
    spans = {"0d": 0, "PT0S": 0, "PT90S": 90, "PT1H30M": 5_400, "PT15M": 900, "1d": 86_400, "1w": 604_800}
    for by, seconds in spans.items():
        before = datetime.fromisoformat((await look(shop))["now"])
        moved = datetime.fromisoformat((await advance(shop, by))["now"]) - before
        assert timedelta(seconds=seconds) <= moved < timedelta(seconds=seconds + 60)


@pytest.mark.asyncio(loop_scope="module")
async def test_clock_needs_a_key(refusing_shop: WebShop) -> None:
    """Without a key nobody moves or reads a clock, and in a body that is none there is nothing to do."""
    assert (await refusing_shop.post(PATH, {"advance": "1d"}, key="")).status_code == 401
    assert (await refusing_shop.get(PATH, key="")).status_code == 401
    assert (await refusing_shop.post(PATH, content=b"{")).status_code == 400
    assert (await refusing_shop.post(PATH, content=b"x=1", headers={"Content-Type": "text/plain"})).status_code == 415


async def test_not_in_live(postgres_dsn: str, template: str) -> None:
    """In live there is no such thing."""
    async with clone_database(postgres_dsn, template) as dsn, open_webshop(dsn, environment="live") as live:
        assert (await live.post(PATH, {"advance": "1d"})).status_code == 404
        assert (await live.get(PATH)).status_code == 404
