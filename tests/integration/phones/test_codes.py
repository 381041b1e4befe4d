"""Codes: right once, five tries in all, ten minutes; counted; and kept as digests only."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from tests.support.callbacks import insert_merchants
from tests.support.clock import leap

from tollhouse.idempotency.model import Claim
from tollhouse.kernel.errors import RateLimited, RequestIdReused, RequestInProgress
from tollhouse.kernel.faults import Fault, RequestRejected, Subject
from tollhouse.kernel.rendered_response import RenderedResponse
from tollhouse.phones.model import Phone
from tollhouse.phones.sender import (
    MAX_RECORDED_MESSAGES,
    DisabledSender,
    MessageNotSent,
    MessageUnconfirmed,
    PhoneMessage,
    RecordingSender,
)
from tollhouse.phones.store import SWEEPS
from tollhouse.phones.verify import CodeCheck, PhoneDependencies, Quotas, check_code, send_code
from tollhouse.storage.database import Database
from tollhouse.storage.sweep import Sweeper

PHONE = Phone.parse("+1 (500) 555.0006")
KEY = b"k" * 32
CLAIM = Claim(1, "phone code", "first", b"digest of the body")


@pytest.fixture
def sender() -> RecordingSender:
    """Who carries the messages."""
    return RecordingSender(["sms"])


@pytest.fixture(autouse=True)
async def merchants(database: Database) -> None:
    """Who sends them."""
    await insert_merchants(database, [1, 2])


@pytest.fixture
def phones(database: Database, sender: RecordingSender) -> PhoneDependencies:
    """Where codes are given out."""
    return PhoneDependencies(database, sender, KEY, Quotas())


async def send(phones: PhoneDependencies, **changes: Any) -> RenderedResponse:
    """Send a code."""
    arguments: dict[str, Any] = {
        "merchant_id": 1,
        "channel": "sms",
        "phone": PHONE,
        "sender_name": "Shop",
        "claim": None,
        "render": lambda expires_at: str(expires_at).encode(),
    }
    return await send_code(phones, **(arguments | changes))


async def check(phones: PhoneDependencies, code: str, *, merchant_id: int = 1, phone: Phone = PHONE) -> CodeCheck:
    """Check a code."""
    return await check_code(phones, merchant_id=merchant_id, phone=phone, code=code)


class StuckSender(RecordingSender):
    """Takes a message and says nothing, until it is told to fail."""

    def __init__(self) -> None:
        super().__init__(["sms"])
        self.asked = asyncio.Event()
        self.failing = asyncio.Event()

    async def send(self, message: PhoneMessage) -> None:
        """Wait, then fail."""
        del message
        self.asked.set()
        await self.failing.wait()
        raise MessageNotSent


async def test_a_repeat_while_the_message_is_on_its_way(phones: PhoneDependencies, database: Database) -> None:
    """A repeat is not told that a code was sent before it was; when it was not, the repeat sends one."""
    stuck = StuckSender()
    sending = asyncio.create_task(send(replace(phones, sender=stuck), claim=CLAIM))
    await stuck.asked.wait()
    with pytest.raises(RequestInProgress):
        await send(phones, claim=CLAIM)
    stuck.failing.set()
    with pytest.raises(MessageNotSent):
        await sending
    assert await count(database, "phone_code") == 0
    reply = await send(phones, claim=CLAIM)
    assert not reply.is_replay
    assert (await send(phones, claim=CLAIM)).is_replay


class HeldSender(RecordingSender):
    """Sends a message when it is told to."""

    def __init__(self) -> None:
        super().__init__(["sms"])
        self.asked = asyncio.Event()
        self.held = asyncio.Event()

    async def send(self, message: PhoneMessage) -> None:
        """Wait, then send."""
        self.asked.set()
        await self.held.wait()
        await super().send(message)


async def test_a_repeat_waits_for_the_message(phones: PhoneDependencies) -> None:
    """A repeat that may wait gets the response to the first request once the message was sent, and sends none."""
    sender = HeldSender()
    patient = replace(phones, sender=sender, answer_seconds=10)
    sending = asyncio.create_task(send(patient, claim=CLAIM))
    await sender.asked.wait()
    repeating = asyncio.create_task(send(patient, claim=CLAIM))
    await asyncio.sleep(0.05)
    assert not repeating.done()
    sender.held.set()
    first, again = await sending, await repeating
    assert (again.body, first.is_replay, again.is_replay) == (first.body, False, True)
    assert len(sender.shown(1)) == 1


async def test_a_crash_before_the_message_left(
    phones: PhoneDependencies, database: Database, sender: RecordingSender
) -> None:
    """When a process dies between the code and its message, a repeat is told to wait, and then sends another code."""
    stuck = StuckSender()
    sending = asyncio.create_task(send(replace(phones, sender=stuck), claim=CLAIM))
    await stuck.asked.wait()
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    with pytest.raises(RequestInProgress):
        await send(phones, claim=CLAIM)
    with pytest.raises(RequestIdReused):
        await send(phones, claim=replace(CLAIM, digest=b"digest of another body"))
    async with database.acquire() as connection:
        await connection.execute("update request_claim set created_at = created_at - interval '1 minute'")
    replies = await asyncio.gather(*(send(phones, claim=CLAIM) for _ in range(3)), return_exceptions=True)
    assert len([reply for reply in replies if isinstance(reply, RenderedResponse) and not reply.is_replay]) == 1
    assert len(sender.shown(1)) == 1
    assert (await check(phones, sent(sender))).is_right


async def test_nobody_knows_whether_a_message_left(phones: PhoneDependencies) -> None:
    """A code whose message may have arrived is good, though the request has to be repeated."""

    class Deaf(RecordingSender):
        async def send(self, message: PhoneMessage) -> None:
            await super().send(message)
            raise MessageUnconfirmed

    deaf = Deaf(["sms"])
    with pytest.raises(MessageNotSent):
        await send(replace(phones, sender=deaf), claim=CLAIM)
    assert (await check(phones, sent(deaf))).is_right


def sent(sender: RecordingSender, merchant_id: int = 1) -> str:
    """Return the code in the last message."""
    return sender.shown(merchant_id)[0].message.text[:6]


def wrong(code: str) -> str:
    """Return another code."""
    return f"{(int(code) + 1) % 10**6:06d}"


async def count(database: Database, table: str) -> int:
    """Count rows."""
    async with database.acquire() as connection:
        counted: int = await connection.fetchval(f"select count(*) from {table}")  # noqa: S608 - our names
    return counted


async def test_a_right_code_is_right_once(phones: PhoneDependencies, sender: RecordingSender) -> None:
    """The code of the message is right, and then used up."""
    await send(phones)
    code = sent(sender)
    assert await check(phones, code) == CodeCheck(is_right=True, tries_left=0)
    assert await check(phones, code) == CodeCheck(is_right=False, tries_left=0)


async def test_wrong_codes_cost_tries(phones: PhoneDependencies, sender: RecordingSender) -> None:
    """After five wrong ones the right one is wrong too."""
    await send(phones)
    code = sent(sender)
    assert [(await check(phones, wrong(code))).tries_left for _ in range(6)] == [4, 3, 2, 1, 0, 0]
    assert not (await check(phones, code)).is_right


async def test_tries_at_once_are_no_more_tries(phones: PhoneDependencies, sender: RecordingSender) -> None:
    """Of twenty checks at once five are looked at; of twenty right ones at once one is right."""
    await send(phones)
    code = sent(sender)
    verdicts = await asyncio.gather(*(check(phones, wrong(code)) for _ in range(20)))
    assert sorted(verdict.tries_left for verdict in verdicts) == [0] * 16 + [1, 2, 3, 4]
    assert not (await check(phones, code)).is_right
    await send(phones)
    verdicts = await asyncio.gather(*(check(phones, sent(sender)) for _ in range(20)))
    assert sum(verdict.is_right for verdict in verdicts) == 1


async def test_a_code_belongs_to_its_phone_and_merchant(phones: PhoneDependencies, sender: RecordingSender) -> None:
    """Another phone and another merchant cannot use it, and spend none of its tries."""
    await send(phones)
    code = sent(sender)
    assert not (await check(phones, code, merchant_id=2)).is_right
    assert not (await check(phones, code, phone=Phone.parse("+15005550007"))).is_right
    assert (await check(phones, code, phone=Phone.parse("500-555-0006", region="US"))).is_right


async def test_a_new_code_takes_the_place_of_the_old(phones: PhoneDependencies, sender: RecordingSender) -> None:
    """Only the last code counts, with tries of its own."""
    await send(phones)
    first = sent(sender)
    await check(phones, wrong(first))
    await send(phones)
    second = sent(sender)
    if first != second:
        assert await check(phones, first) == CodeCheck(is_right=False, tries_left=4)
    assert (await check(phones, second)).is_right


async def test_a_code_ends_after_ten_minutes(
    phones: PhoneDependencies, sender: RecordingSender, database: Database
) -> None:
    """A code is good for ten minutes, and swept away after."""
    reply = await send(phones)
    async with database.acquire() as connection:
        left = datetime.fromisoformat(reply.body.decode()) - await connection.fetchval("select now()")
        await connection.execute("update phone_code set expires_at = now() - interval '1 second'")
    assert 590 < left.total_seconds() <= 600
    assert not (await check(phones, sent(sender))).is_right
    await Sweeper(database, SWEEPS).step()
    assert await count(database, "phone_code") == 0
    assert await count(database, "phone_quota") == 2


async def test_a_code_ends_by_the_merchants_clock(
    phones: PhoneDependencies, sender: RecordingSender, database: Database
) -> None:
    """Ten minutes by the merchant's clock end a code, as do ten real ones."""
    await leap(database, 1, days=1)
    await send(phones)
    await leap(database, 1, minutes=9)
    first = sent(sender)
    assert (await check(phones, wrong(first))).tries_left == 4
    await leap(database, 1, minutes=1)
    assert not (await check(phones, first)).is_right


async def test_messages_are_counted(database: Database, sender: RecordingSender) -> None:
    """A phone gets so many an hour, a merchant sends so many, another merchant is not held up, and an hour ends."""
    phones = PhoneDependencies(database, sender, KEY, Quotas(by_phone=2, by_merchant=3))
    await send(phones)
    await send(phones)
    with pytest.raises(RateLimited, match="to this phone") as refused:
        await send(phones)
    assert 3590 < refused.value.retry_after_seconds <= 3600
    await send(phones, phone=Phone.parse("+15005550007"))
    with pytest.raises(RateLimited, match="of this merchant"):
        await send(phones, phone=Phone.parse("+15005550008"))
    await send(phones, merchant_id=2)
    assert len(sender.shown(1)) == 3
    async with database.acquire() as connection:
        await connection.execute("update phone_quota set ends_at = now()")
    await send(phones)
    async with database.transaction() as connection:
        assert await connection.fetchval("select max(used) from phone_quota where ends_at > now()") == 1
    await Sweeper(database, SWEEPS).step()
    async with database.transaction() as connection:
        assert await connection.fetchval("select count(*) from phone_quota") == 2


async def test_messages_at_once_are_counted(database: Database, sender: RecordingSender) -> None:
    """Of ten at once as many leave as may; what was refused is not counted."""
    phones = PhoneDependencies(database, sender, KEY, Quotas(by_phone=3, by_merchant=0))
    ended = await asyncio.gather(*(send(phones) for _ in range(10)), return_exceptions=True)
    assert sum(isinstance(one, RateLimited) for one in ended) == 7
    assert len(sender.shown(1)) == 3
    async with database.acquire() as connection:
        assert [row["used"] for row in await connection.fetch("select used from phone_quota")] == [3]


async def test_a_repeat_sends_nothing(phones: PhoneDependencies, sender: RecordingSender) -> None:
    """The same request id gets the same answer, and its code stays the one that was sent."""
    first = await send(phones, claim=CLAIM)
    again = await send(phones, claim=CLAIM)
    assert (again.body, again.is_replay) == (first.body, True)
    assert len(sender.shown(1)) == 1
    with pytest.raises(RequestIdReused):
        await send(phones, claim=Claim(1, "phone code", "first", b"digest of another"))
    assert (await check(phones, sent(sender))).is_right


class FailingSender(DisabledSender):
    """Takes nothing, a first time."""

    channels: Sequence[str] = ("sms",)

    def __init__(self) -> None:
        self.taken: list[PhoneMessage] = []
        self.tries = 0

    async def send(self, message: PhoneMessage) -> None:
        """Refuse the first."""
        self.tries += 1
        if self.tries == 1:
            raise MessageNotSent
        self.taken.append(message)


async def test_unsent_message_leaves_request_id_free(database: Database) -> None:
    """If the message could not be sent there is no code, and the same request ID may be used again."""
    sender = FailingSender()
    phones = PhoneDependencies(database, sender, KEY, Quotas())
    with pytest.raises(MessageNotSent):
        await send(phones, claim=CLAIM)
    assert await count(database, "phone_code") == 0
    assert not (await send(phones, claim=CLAIM)).is_replay
    [message] = sender.taken
    assert (await check(phones, message.text[:6])).is_right


async def test_channels_that_there_are_not(phones: PhoneDependencies, database: Database) -> None:
    """Another channel is refused by name; where nothing is set up, that is said."""
    with pytest.raises(RequestRejected) as refused:
        await send(phones, channel="pigeon")
    assert refused.value.faults == (Fault(Subject.CHANNEL, "must be one of sms"),)
    with pytest.raises(RequestRejected) as refused:
        await send(PhoneDependencies(database, DisabledSender(), KEY, Quotas()))
    assert "not configured" in refused.value.faults[0].text
    assert await count(database, "phone_quota") == 0


async def test_nothing_is_kept_in_the_clear(
    phones: PhoneDependencies, sender: RecordingSender, database: Database
) -> None:
    """Neither the phone nor the code stands in any row."""
    await send(phones, claim=CLAIM)
    async with database.acquire() as connection:
        rows = [
            str(dict(row))
            for table in ("phone_code", "phone_quota", "request_claim")
            for row in await connection.fetch(f"select * from {table}")  # noqa: S608 - our names
        ]
    assert len(rows) == 4
    for secret in (sent(sender), "5005550006"):
        assert not any(secret in row for row in rows)


async def test_recorded_messages_are_bounded(sender: RecordingSender) -> None:
    """The last two hundred messages are kept, each for its merchant only."""
    for number in range(MAX_RECORDED_MESSAGES + 20):
        await sender.send(PhoneMessage(1 + number % 2, "sms", PHONE, "Shop", str(number)))
    assert len(sender.shown(1)) + len(sender.shown(2)) == MAX_RECORDED_MESSAGES
    assert sender.shown(1)[0].message.text == str(MAX_RECORDED_MESSAGES + 18)
