"""The same request again: its first answer, byte for byte, for ever."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.support.acquirer import Plan
from tests.support.shop import Paid, Shop, all_at_once, claim

from tollhouse.acquirers.model import Declined
from tollhouse.kernel.errors import DatabaseUnavailable, Invalid, RequestIdReused, RequestInProgress
from tollhouse.payments.charge.charge import charge
from tollhouse.payments.dependencies import PaymentTimeouts
from tollhouse.payments.idempotency import recall_claim

OTHER_DIGEST = b"o" * 32


async def test_a_repeat_gets_the_first_answer(shop: Shop, other_process: Shop) -> None:
    """A repeat gets the bytes of the first answer, in this process and in another, and nothing is charged."""
    first = await shop.pay(claim=claim("r1"))
    for each in (shop, other_process):
        again = await each.pay(claim=claim("r1"))
        assert (again.reply.body, again.reply.is_replay) == (first.reply.body, True)
    assert not first.reply.is_replay
    assert len(shop.acquirer.charged) == 1


async def test_a_declined_payment_is_replayed(shop: Shop) -> None:
    """A decline is an answer like any other and is not tried again under its request id."""
    shop.acquirer.plan(Plan(Declined("51")))
    first = await shop.pay(claim=claim("r1"))
    again = await shop.pay(claim=claim("r1"))
    assert again.reply.body == first.reply.body
    assert again.outcome == ("fail", "5051")


async def test_another_body_is_refused(shop: Shop, other_process: Shop) -> None:
    """A request id with another body is refused, at once and later, here and elsewhere."""
    held, first = await shop.start(claim=claim("r1"))
    for each in (shop, other_process):
        with pytest.raises(RequestIdReused):
            await each.pay(claim=claim("r1", digest=OTHER_DIGEST))
    held.set()
    await first
    for each in (shop, other_process):
        with pytest.raises(RequestIdReused):
            await each.pay(claim=claim("r1", digest=OTHER_DIGEST))


async def test_twenty_repeats_at_once_in_two_processes(shop: Shop, other_process: Shop) -> None:
    """Equal requests at once in two processes are charged once and answered alike."""
    shops = (shop, other_process)
    intents = [await shops[n % 2].intent(claim=claim("r1")) for n in range(20)]
    replies = await all_at_once(*(charge(shops[n % 2].parts.charging, intent) for n, intent in enumerate(intents)))
    assert len({reply.body for reply in replies}) == 1
    assert sum(not reply.is_replay for reply in replies) == 1
    assert len(shop.acquirer.charged) == 1
    assert await shop.value("select count(*) from transaction") == 1


async def test_a_repeat_waits_for_the_first(shop: Shop, other_process: Shop) -> None:
    """While the first request runs, its repeats wait, and get its answer."""
    held, first = await shop.start(claim=claim("r1"))
    paying = [first, *(asyncio.create_task(each.pay(claim=claim("r1"))) for each in (shop, other_process))]
    await asyncio.sleep(0.05)
    assert not any(task.done() for task in paying)
    held.set()
    assert len({(await task).reply.body for task in paying}) == 1


async def test_a_repeat_does_not_wait_for_ever(shop: Shop, other_process: Shop) -> None:
    """A repeat whose first request gives no answer in time is told to come again."""
    await shop.begin(claim=claim("r1"))
    with pytest.raises(RequestInProgress):
        await other_process.hasty.pay(claim=claim("r1"))


async def test_the_client_that_goes_away(shop: Shop) -> None:
    """When the client goes, the payment goes on, whoever waits with it gets its answer, and so do later repeats."""
    held, first = await shop.start(claim=claim("r1"))
    second = asyncio.create_task(shop.pay(claim=claim("r1")))
    await asyncio.sleep(0.02)
    first.cancel()
    await asyncio.sleep(0.02)
    assert not second.done()
    third = asyncio.create_task(shop.pay(claim=claim("r1")))
    held.set()
    bodies = {(await task).reply.body for task in (second, third)}
    assert bodies == {(await shop.pay(claim=claim("r1"))).reply.body}
    assert len(shop.acquirer.charged) == 1
    assert shop.parts.running.find(claim("r1")) is None


async def test_the_client_without_a_request_id_that_goes_away(shop: Shop) -> None:
    """A payment without request id is finished too when its client goes."""
    held, first = await shop.start()
    first.cancel()
    held.set()
    await shop.quiet()
    assert await shop.value("select status::text from transaction") == "success"


async def test_request_ids_belong_to_a_merchant(shop: Shop) -> None:
    """Two merchants may use the same request id."""
    await shop.pay(claim=claim("r1"))
    other = claim("r1", digest=OTHER_DIGEST, merchant_id=2)
    paid = await shop.pay(claim=other, merchant_id=2, site_id=200)
    assert paid.outcome == ("success", "0")
    assert len(shop.acquirer.charged) == 2


async def test_a_released_request_id_is_free(shop: Shop) -> None:
    """A request id whose token was gone may be used again, with another body."""
    token = await shop.tokenize()
    intent = await shop.intent(token=token, claim=claim("r1"))
    await shop.value("update token set expires_at = now()")
    with pytest.raises(Invalid):
        await charge(shop.parts.charging, intent)
    assert await recall_claim(shop.parts.requests, claim("r1")) is None
    assert (await shop.pay(claim=claim("r1", digest=OTHER_DIGEST))).outcome == ("success", "0")


async def test_who_waits_for_a_released_request_id(shop: Shop, other_process: Shop) -> None:
    """When the holder of a request id loses its token, whoever waited with the same token is told the same."""
    token = await shop.tokenize()
    shops = (shop, other_process)
    intents = [await shops[n % 2].intent(token=token, claim=claim("r1")) for n in range(6)]
    await shop.value("update token set expires_at = now()")
    answers = await all_at_once(*(charge(shops[n % 2].parts.charging, intent) for n, intent in enumerate(intents)))
    assert all(isinstance(answer, Invalid) for answer in answers)


async def test_a_pending_answer_is_replayed_as_pending(shop: Shop) -> None:
    """What was answered stays the answer, also when the payment has ended since."""
    held = asyncio.Event()
    shop.acquirer.plan(Plan(hold=held))
    first = await shop.hasty.pay(claim=claim("r1"))
    assert first.outcome == ("pending", "0")
    held.set()
    await shop.quiet()
    again = await shop.pay(claim=claim("r1"))
    assert (again.reply.body, again.reply.is_replay) == (first.reply.body, True)
    [event] = await shop.fetch("select status, transaction_id from event")
    assert tuple(event) == ("success", first.transaction_id)


async def test_the_resolver_records_the_answer(shop: Shop) -> None:
    """When the process died before it answered, the repeat gets what the resolver found out."""
    payment = await shop.begin(claim=claim("r1"))
    shop.acquirer.books[payment.attempt.reference] = Declined("05")
    await shop.resolve(payment.transaction_id)
    again = await shop.pay(claim=claim("r1"))
    assert (again.outcome, again.reply.is_replay) == (("fail", "5005"), True)


async def test_a_request_that_was_never_committed_leaves_its_id_free(shop: Shop) -> None:
    """After a failure before the commit the same request id is charged as if it were new."""
    spoilt = await shop.intent(claim=claim("r1"), metadata="no JSON")
    with pytest.raises(Exception, match="json"):
        await charge(shop.parts.charging, spoilt)
    assert (await shop.pay(claim=claim("r1"))).outcome == ("success", "0")


async def test_a_database_that_went_away_before_the_end(shop: Shop) -> None:
    """When the outcome cannot be written the client hears of it, and its repeat gets the outcome in the end."""

    class Broken:
        async def submit(self, _: object) -> bool:
            raise DatabaseUnavailable

    broken = replace(shop.parts, finish_queue=Broken(), timeouts=PaymentTimeouts(answer=0.3, margin=0))  # type: ignore[arg-type]
    with pytest.raises(DatabaseUnavailable):
        await charge(broken.charging, await shop.intent(claim=claim("r1")))
    with pytest.raises(RequestInProgress):
        await shop.hasty.pay(claim=claim("r1"))
    await shop.resolve(await shop.value("select transaction_id from transaction"))
    assert Paid((await shop.pay(claim=claim("r1"))).reply).outcome == ("success", "0")
    assert len(shop.acquirer.charged) == 1
