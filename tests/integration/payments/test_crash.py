"""Commits without a response, and processes that die: nothing is lost or duplicated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.support.acquirer import Plan, ScriptedAcquirer
from tests.support.proxy import LossyWay, open_lossy_way
from tests.support.shop import Paid, Shop, all_at_once, claim, open_shop, price

from tollhouse.kernel.errors import RequestInProgress
from tollhouse.payments.charge.charge import charge
from tollhouse.storage.database import Database

CONTRADICTIONS = """
select 'settled without event' from transaction t
    where status <> 'pending' and (select count(*) from event e where e.transaction_id = t.transaction_id) <> 1
union all select 'event of an open transaction' from event e join transaction t using (transaction_id)
    where t.status = 'pending' or t.status::text <> e.status and t.mode <> 'chargeback'
        or t.mode = 'chargeback'
            and e.status not in ('retrieved', 'represented', 'chargeback', 'chargeback_2nd', 'send_ca')
union all select 'approved without account' from transaction t
    where status = 'success' and not exists (
        select from account a where a.account_id = t.account_id
    )
union all select 'transaction without payment or attempt' from transaction t
    where not exists (select from payment p where p.payment_id = t.payment_id)
        or t.mode <> 'chargeback' and not exists (select from attempt a where a.transaction_id = t.transaction_id)
union all select 'payment without consumer' from payment p
    where not exists (select from consumer c where c.consumer_id = p.consumer_id)
union all select 'request id of no payment' from request_claim c
    where not exists (select from payment p where p.payment_id = c.payment_id)
union all select 'token used by no payment' from token
    where used_by is not null and not exists (select from payment p where p.payment_id = used_by)
union all select 'subscription and payment differ' from subscription s join transaction t using (payment_id)
    where (s.status = 'pending') <> (t.status = 'pending') or t.status = 'fail'
union all select 'final attempt with a card' from attempt
    where state not in ('in_flight', 'challenged', 'unknown', 'reversing') and sealed_card is not null
"""


async def contradictions(shop: Shop) -> list[str]:
    """Return contradictions in the database."""
    return [row[0] for row in await shop.fetch(CONTRADICTIONS)]


@pytest.fixture
async def lossy(shop: Shop, database_dsn: str, session_directory: Path) -> AsyncIterator[tuple[Shop, LossyWay]]:
    """A process whose connections can lose the responses to commits."""
    async with open_lossy_way(database_dsn, session_directory) as (way, dsn):
        database = await Database.connect(dsn, schema="gateway")
        far = open_shop(database, shop.acquirer)
        yield far, way
        await far.quiet()
        await database.close()


async def test_payments_survive_lost_commit_responses(shop: Shop, lossy: tuple[Shop, LossyWay]) -> None:
    """If each second commit has no response, payments by card and token are charged, reported and answered once."""
    far, way = lossy
    prices = (price(1999), price(999, "30d"))
    tokens = [await far.tokenize() for _ in range(5)]
    orders = [await far.intent(external_id=f"user-{n}", claim=claim(f"r{n}"), prices=prices) for n in range(10)]
    orders += [await far.intent(external_id=f"token-{n}", claim=claim(f"t{n}"), token=tokens[n]) for n in range(5)]
    way.losing_every = 2
    replies = await asyncio.gather(*(charge(far.parts.charging, order) for order in orders))
    way.losing_every = 0
    assert {Paid(reply).outcome for reply in replies} == {("success", "0")}
    assert way.lost >= 2
    assert len(shop.acquirer.charged) == shop.acquirer.count("authorize") == 15
    assert await shop.value("select count(*) from subscription where status = 'active'") == 10
    assert await contradictions(shop) == []
    again = [await far.pay(external_id=f"user-{n}", claim=claim(f"r{n}"), prices=prices) for n in range(10)]
    assert [paid.reply.body for paid in again] == [reply.body for reply in replies[:10]]


async def test_a_double_click_survives_a_lost_commit_response(shop: Shop, lossy: tuple[Shop, LossyWay]) -> None:
    """A double click gets the first payment although the response to its commit was lost."""
    far, way = lossy
    held, paying = await far.start(claim=claim("r1"))
    way.losing = 1
    click = asyncio.create_task(far.pay(claim=claim("r2")))
    while way.lost == 0:  # noqa: ASYNC110 - what is awaited happens in a pump of the proxy
        await asyncio.sleep(0.005)
    held.set()
    assert (await click).reply.body == (await paying).reply.body
    assert len(shop.acquirer.charged) == 1
    assert await contradictions(shop) == []


async def test_a_block_survives_a_lost_commit_response(lossy: tuple[Shop, LossyWay]) -> None:
    """A blacklisted consumer is blocked although the response to the begin was lost."""
    far, way = lossy
    await far.pay()
    await far.value("update consumer set group_id = 2")
    order = await far.intent(claim=claim("r1"))
    way.losing = 1
    refused = Paid(await charge(far.parts.charging, order))
    assert (way.lost, refused.outcome) == (1, ("fail", "1001"))
    assert far.acquirer.count("authorize") == 1


async def test_a_token_survives_a_lost_commit_response(lossy: tuple[Shop, LossyWay]) -> None:
    """A token whose commit had no response is stored once and pays."""
    far, way = lossy
    await far.tokenize()
    way.losing = 1
    tokens = await asyncio.gather(*(far.tokenize() for _ in range(4)))
    assert way.lost == 1
    assert await far.value("select count(*) from token") == 5
    assert {(await far.pay(token=token, external_id=str(token))).outcome for token in tokens} == {("success", "0")}


async def kill(shop: Shop) -> None:
    """Stop a process at once, with its tasks, queues and connections."""
    for write_queue in (shop.parts.begin_queue, shop.parts.finish_queue):
        if write_queue._lane is not None:  # noqa: SLF001 - no process would offer this
            write_queue._lane.cancel()  # noqa: SLF001
    await shop.die()
    shop.parts.database._pool.terminate()  # noqa: SLF001


@pytest.mark.parametrize("at", range(12))
async def test_a_process_that_dies_at_any_moment(shop: Shop, database_dsn: str, at: int) -> None:
    """After a crash at any point the next process resolves the payments, and their repeats agree."""
    database = await Database.connect(database_dsn, schema="gateway")
    doomed = open_shop(database, shop.acquirer)
    await doomed.pay(external_id="warm", claim=claim("warm"))
    work = [
        asyncio.create_task(all_at_once(*(doomed.pay(external_id=f"user-{n}", claim=claim(f"r{n}")) for n in batch)))
        for batch in (range(3), range(3, 6))
    ]
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(asyncio.gather(*work)), timeout=0.003 * at)
    await kill(doomed)
    await asyncio.gather(*work)
    for row in await shop.fetch("select transaction_id from transaction where status = 'pending'"):
        await shop.resolve(row["transaction_id"])
    assert await contradictions(shop) == []
    before = await approved(shop)
    assert before <= set(shop.acquirer.charged)
    for n in range(6):
        with suppress(RequestInProgress):
            await shop.hasty.pay(external_id=f"user-{n}", claim=claim(f"r{n}"))
    assert await approved(shop) == set(shop.acquirer.charged)
    assert await shop.value("select count(*) from transaction") == 7
    assert await shop.value("select count(*) from transaction where status = 'pending'") == 0


async def approved(shop: Shop) -> set[str]:
    """Return the references that the gateway counts as approved."""
    return {row["reference"] for row in await shop.fetch("select reference from attempt where state = 'approved'")}


async def test_the_next_acquirer_survives_a_lost_commit_response(shop: Shop, lossy: tuple[Shop, LossyWay]) -> None:
    """The next acquirer is called although the response to the commit of its attempt was lost."""
    far, way = lossy
    first, second = ScriptedAcquirer(), ScriptedAcquirer(name="second")
    asked = asyncio.Event()
    may_respond = asyncio.Event()
    first.plan(Plan(hold=may_respond, not_sent=True))
    first.on_authorize = lambda _: asked.set()
    pair = open_shop(far.parts.database, first, second)
    paying = asyncio.create_task(pair.pay())
    await asyncio.wait_for(asked.wait(), timeout=5)
    way.losing = 1
    may_respond.set()
    assert (await paying).outcome == ("success", "0")
    assert (way.lost, second.charged) == (1, [second.asked[0].reference])
    assert await contradictions(shop) == []


async def test_operations_survive_lost_commit_responses(shop: Shop, lossy: tuple[Shop, LossyWay]) -> None:
    """If each second commit has no response, captures, refunds and voids are made and reported once."""
    far, way = lossy
    made = [await shop.authorize(metadata=f'{{"n": {n}}}') for n in range(6)]
    way.losing_every = 2
    captured = [await far.capture(paid.transaction_id, request=f"c{n}") for n, paid in enumerate(made)]
    credited = [await far.credit(paid.transaction_id, request=f"r{n}") for n, paid in enumerate(made[:3])]
    voided = [await far.void(paid.transaction_id, request=f"v{n}") for n, paid in enumerate(made[3:])]
    way.losing_every = 0
    assert {paid.outcome for paid in (*captured, *credited, *voided)} == {("success", "0")}
    assert way.lost >= 6
    assert len(shop.acquirer.operated) == 12
    assert await shop.value("select count(*) from authorization_hold") == 0
    assert await contradictions(shop) == []
    again = [await far.credit(paid.transaction_id, request=f"r{n}") for n, paid in enumerate(made[:3])]
    assert [paid.reply.body for paid in again] == [paid.reply.body for paid in credited]


async def test_chargebacks_survive_lost_commit_responses(shop: Shop, lossy: tuple[Shop, LossyWay]) -> None:
    """A chargeback whose commit had no response exists once, and its repeat gets the same response."""
    far, way = lossy
    paid = await shop.pay()
    for request in ("b1", None):
        way.losing = 1
        charged_back = await far.charge_back(paid.transaction_id, "5.00", request=request)
        assert (way.losing, charged_back.outcome) == (0, ("chargeback", "0"))
    assert (await far.charge_back(paid.transaction_id, "5.00", request="b1")).reply.is_replay
    assert await shop.value("select sum(amount_minor) from transaction where mode = 'chargeback'") == 1000
    assert await contradictions(shop) == []
