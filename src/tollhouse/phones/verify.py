"""Send a code and check it.

To send: count the message, store a digest, and send after the commit. To check: five attempts in all, also concurrent
ones, and one success.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hmac import compare_digest

from tollhouse.idempotency.create import create_and_send
from tollhouse.idempotency.model import Claim
from tollhouse.kernel.errors import RateLimited
from tollhouse.kernel.faults import Subject, reject
from tollhouse.kernel.rendered_response import RenderedResponse
from tollhouse.phones.model import Phone, digest_code, digest_phone, draw_code
from tollhouse.phones.sender import MessageNotSent, MessageSender, MessageUnconfirmed, PhoneMessage
from tollhouse.phones.store import count_attempt, count_message, delete_code, insert_code, lock_code
from tollhouse.storage.database import Database, PlainConnection

QUOTA_SPAN = timedelta(hours=1)
#: The longest time to send a message. A repeated request after it treats the first as abandoned.
SENDING_LEASE_SECONDS = 30.0
#: The subject that counts all messages of a merchant.
ALL_PHONES = b""

TEXT = "{code} is your code for {sender_name}. It is valid for 10 minutes. Never tell it to anyone."


@dataclass(frozen=True, slots=True)
class CodeCheck:
    """Whether the code was right, and the number of attempts left."""

    is_right: bool
    tries_left: int


@dataclass(frozen=True, slots=True)
class Quotas:
    """The limits of messages an hour; 0 is no limit.

    Each message costs money, and each code permits five more guesses.
    """

    by_phone: int = 5
    by_merchant: int = 600


@dataclass(frozen=True, slots=True, repr=False)
class PhoneDependencies:
    """The dependencies of sending and checking codes. `key` is used only for keyed digests.

    A repeated request waits so many `answer_seconds` for the response to the first.
    """

    database: Database
    sender: MessageSender
    key: bytes
    quotas: Quotas
    answer_seconds: float = 0.0


async def send_code(
    dependencies: PhoneDependencies,
    *,
    merchant_id: int,
    channel: str,
    phone: Phone,
    sender_name: str,
    claim: Claim | None,
    render: Callable[[datetime], bytes],
) -> RenderedResponse:
    """Send a new code, which replaces the previous one. `render` builds the response from the expiry of the code.

    A repeat with the same idempotency key sends nothing once the message was sent. Before that it waits, then raises
    RequestInProgress, or sends another code if the first process died. Raises RequestRejected for an unknown
    channel, RateLimited, and MessageNotSent; after MessageNotSent the request ID is free, and the code is void unless
    it may have arrived.
    """
    _check_channel(dependencies, channel)
    code = draw_code()
    phone_digest = digest_phone(dependencies.key, merchant_id=merchant_id, phone=phone)
    code_digest = digest_code(dependencies.key, merchant_id=merchant_id, phone=phone, code=code)

    async def create(connection: PlainConnection) -> bytes:
        await _count(connection, dependencies, merchant_id=merchant_id, phone_digest=phone_digest)
        return render(
            await insert_code(connection, merchant_id=merchant_id, phone_digest=phone_digest, code_digest=code_digest)
        )

    async def hand_over() -> None:
        text = TEXT.format(code=code, sender_name=sender_name)
        try:
            await dependencies.sender.send(PhoneMessage(merchant_id, channel, phone, sender_name, text))
        except MessageUnconfirmed:
            raise  # it may have arrived, so its code stays valid
        except MessageNotSent:
            async with dependencies.database.transaction() as connection:
                await delete_code(
                    connection, merchant_id=merchant_id, phone_digest=phone_digest, code_digest=code_digest
                )
            raise

    return await create_and_send(
        dependencies.database,
        claim,
        create,
        hand_over,
        lease_seconds=SENDING_LEASE_SECONDS,
        wait_seconds=dependencies.answer_seconds,
    )


def _check_channel(dependencies: PhoneDependencies, channel: str) -> None:
    if not dependencies.sender.channels:
        raise reject(Subject.CHANNEL, "is not available: this gateway is not configured to send messages")
    if channel not in dependencies.sender.channels:
        raise reject(Subject.CHANNEL, f"must be one of {', '.join(dependencies.sender.channels)}")


async def _count(
    connection: PlainConnection, dependencies: PhoneDependencies, *, merchant_id: int, phone_digest: bytes
) -> None:
    """Count the message for its merchant and its phone. Raises RateLimited, and then counts nothing."""
    for limit, subject in ((dependencies.quotas.by_merchant, ALL_PHONES), (dependencies.quotas.by_phone, phone_digest)):
        if not limit:
            continue
        usage = await count_message(connection, merchant_id=merchant_id, subject=subject, span=QUOTA_SPAN)
        if usage.used > limit:
            whom = "to this phone" if subject else "of this merchant"
            text = f"The limit of {limit} messages an hour {whom} is reached. Try again later."
            raise RateLimited(max(1, math.ceil(usage.left_over.total_seconds())), text)


async def check_code(dependencies: PhoneDependencies, *, merchant_id: int, phone: Phone, code: str) -> CodeCheck:
    """Check a code. A code that was not sent, has expired, was used or was attempted too often is wrong."""
    phone_digest = digest_phone(dependencies.key, merchant_id=merchant_id, phone=phone)
    code_digest = digest_code(dependencies.key, merchant_id=merchant_id, phone=phone, code=code)
    async with dependencies.database.transaction() as connection:
        stored = await lock_code(connection, merchant_id=merchant_id, phone_digest=phone_digest)
        if stored is None:
            return CodeCheck(is_right=False, tries_left=0)
        if compare_digest(stored.code_digest, code_digest):
            await delete_code(connection, merchant_id=merchant_id, phone_digest=phone_digest, code_digest=code_digest)
            return CodeCheck(is_right=True, tries_left=0)
        await count_attempt(connection, merchant_id=merchant_id, phone_digest=phone_digest)
    return CodeCheck(is_right=False, tries_left=stored.tries_left - 1)
