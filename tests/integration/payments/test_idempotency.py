"""Repeated requests: the first response, byte for byte."""

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
from tollhouse.payments.idempotency import replay_claim

OTHER_DIGEST = b"o" * 32


async def test_a_repeat_gets_the_first_answer(shop: Shop, other_process: Shop) -> None:
    """A repeat gets the bytes of the first response in any process, and nothing is charged."""
    first = await shop.pay(claim=claim("r1"))
    for each in (shop, other_process):
        again = await each.pay(claim=claim("r1"))
        assert (again.reply.body, again.reply.is_replay) == (first.reply.body, True)
    assert not first.reply.is_replay
    assert len(shop.acquirer.charged) == 1


async def test_a_declined_payment_is_replayed(shop: Shop) -> None:
    """A decline is replayed and not tried again under its idempotency key."""
    shop.acquirer.plan(Plan(Declined("51")))
    first = await shop.pay(claim=claim("r1"))
    again = await shop.pay(claim=claim("r1"))
    assert again.reply.body == first.reply.body
    assert again.outcome == ("fail", "5051")


async def test_another_body_is_refused(shop: Shop, other_process: Shop) -> None:
    """An idempotency key with another body is rejected, at once and later, in any process."""
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
    """Equal concurrent requests in two processes are charged once and get the same response."""
    shops = (shop, other_process)
    intents = [await shops[n % 2].intent(claim=claim("r1")) for n in range(20)]
    replies = await all_at_once(*(charge(shops[n % 2].parts.charging, intent) for n, intent in enumerate(intents)))
    assert len({reply.body for reply in replies}) == 1
    assert sum(not reply.is_replay for reply in replies) == 1
    assert len(shop.acquirer.charged) == 1
    assert await shop.value("select count(*) from transaction") == 1


async def test_a_repeat_waits_for_the_first(shop: Shop, other_process: Shop) -> None:
    """While the first request runs, repeats wait for its response."""
    held, first = await shop.start(claim=claim("r1"))
    paying = [first, *(asyncio.create_task(each.pay(claim=claim("r1"))) for each in (shop, other_process))]
    await asyncio.sleep(0.05)
    assert not any(task.done() for task in paying)
    held.set()
    assert len({(await task).reply.body for task in paying}) == 1


async def test_a_repeat_does_not_wait_for_ever(shop: Shop, other_process: Shop) -> None:
    """A repeat gets an error after a time-out if the first request has no response by then."""
    await shop.begin(claim=claim("r1"))
    with pytest.raises(RequestInProgress):
        await other_process.hasty.pay(claim=claim("r1"))


async def test_a_disconnect_does_not_stop_the_payment(shop: Shop) -> None:
    """After a disconnect the payment continues, and waiting and later repeats get its response."""
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


async def test_a_disconnect_without_key_does_not_stop_the_payment(shop: Shop) -> None:
    """A payment without an idempotency key finishes after a disconnect too."""
    held, first = await shop.start()
    first.cancel()
    held.set()
    await shop.quiet()
    assert await shop.value("select status::text from transaction") == "success"


async def test_request_ids_belong_to_a_merchant(shop: Shop) -> None:
    """Two merchants may use the same idempotency key."""
    await shop.pay(claim=claim("r1"))
    other = claim("r1", digest=OTHER_DIGEST, merchant_id=2)
    paid = await shop.pay(claim=other, merchant_id=2, site_id=200)
    assert paid.outcome == ("success", "0")
    assert len(shop.acquirer.charged) == 2


async def test_a_released_request_id_is_free(shop: Shop) -> None:
    """The key of a request with a used token can be used again, with another body."""
    token = await shop.tokenize()
    intent = await shop.intent(token=token, claim=claim("r1"))
    await shop.value("update token set expires_at = now()")
    with pytest.raises(Invalid):
        await charge(shop.parts.charging, intent)
    assert await replay_claim(shop.parts.requests, claim("r1")) is None
    assert (await shop.pay(claim=claim("r1", digest=OTHER_DIGEST))).outcome == ("success", "0")


async def test_a_repeat_of_a_used_token_is_rejected_too(shop: Shop, other_process: Shop) -> None:
    """If the first request fails for its used token, a waiting repeat gets the same error."""
    token = await shop.tokenize()
    shops = (shop, other_process)
    intents = [await shops[n % 2].intent(token=token, claim=claim("r1")) for n in range(6)]
    await shop.value("update token set expires_at = now()")
    answers = await all_at_once(*(charge(shops[n % 2].parts.charging, intent) for n, intent in enumerate(intents)))
    assert all(isinstance(answer, Invalid) for answer in answers)


async def test_a_pending_answer_is_replayed_as_pending(shop: Shop) -> None:
    """A recorded `pending` is replayed, also after the payment has finished."""
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
    """After a crash before the response, the repeat gets the outcome from the resolver."""
    payment = await shop.begin(claim=claim("r1"))
    shop.acquirer.books[payment.attempt.reference] = Declined("05")
    await shop.resolve(payment.transaction_id)
    again = await shop.pay(claim=claim("r1"))
    assert (again.outcome, again.reply.is_replay) == (("fail", "5005"), True)


async def test_a_request_that_was_never_committed_leaves_its_id_free(shop: Shop) -> None:
    """After a failure before the commit the same key is charged as a new one."""
    spoilt = await shop.intent(claim=claim("r1"), metadata="no JSON")
    with pytest.raises(Exception, match="json"):
        await charge(shop.parts.charging, spoilt)
    assert (await shop.pay(claim=claim("r1"))).outcome == ("success", "0")


async def test_an_unwritten_outcome_is_unavailable(shop: Shop) -> None:
    """If the outcome cannot be written, the client gets an error, and its repeat later the outcome."""

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
