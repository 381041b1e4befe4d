"""Sending a code: counted, kept as a digest, and handed over when that is committed."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tollhouse.kernel.errors import Invalid, RateLimited
from tollhouse.phones.model import Phone, digest_code, digest_phone, draw_code
from tollhouse.phones.sender import Message, MessageNotSent, MessageUnconfirmed
from tollhouse.phones.store import delete_code, insert_code, take_quota
from tollhouse.storage.claims import create_and_send

if TYPE_CHECKING:
    from tollhouse.kernel.requests import Claim, Reply
    from tollhouse.phones.desk import PhoneDependencies
    from tollhouse.storage.database import PlainConnection

QUOTA_SPAN = timedelta(hours=1)
#: How long handing a message over may take: a repeat after that takes the work for abandoned.
SENDING_LEASE_SECONDS = 30.0
#: The subject under which all messages of a merchant are counted.
ALL = b""

TEXT = "{code} is your code for {sender_name}. It is good for 10 minutes. Nobody will ask you for it."


async def send_code(
    desk: PhoneDependencies,
    *,
    merchant_id: int,
    channel: str,
    phone: Phone,
    sender_name: str,
    claim: Claim | None,
    render: Callable[[datetime], bytes],
) -> Reply:
    """Send a new code, which takes the place of the one before. `render` writes the answer from when the code ends.

    A repeat under the same request id sends nothing once the message was handed over; before that it raises
    RequestInProgress, and sends another code if the first process died. Raises Invalid for a channel that there is not,
    RateLimited, and MessageNotSent, after which the request id is free, and the code void if it surely did not leave.
    """
    _check_channel(desk, channel)
    code = draw_code()
    phone_digest = digest_phone(desk.key, merchant_id=merchant_id, phone=phone)
    code_digest = digest_code(desk.key, merchant_id=merchant_id, phone=phone, code=code)

    async def create(connection: PlainConnection) -> bytes:
        await _count(connection, desk, merchant_id=merchant_id, phone_digest=phone_digest)
        return render(
            await insert_code(connection, merchant_id=merchant_id, phone_digest=phone_digest, code_digest=code_digest)
        )

    async def hand_over() -> None:
        text = TEXT.format(code=code, sender_name=sender_name)
        try:
            await desk.sender.send(Message(merchant_id, channel, phone, sender_name, text))
        except MessageUnconfirmed:
            raise  # it may have arrived, and then its code is good
        except MessageNotSent:
            async with desk.database.transaction() as connection:
                await delete_code(
                    connection, merchant_id=merchant_id, phone_digest=phone_digest, code_digest=code_digest
                )
            raise

    return await create_and_send(desk.database, claim, create, hand_over, lease_seconds=SENDING_LEASE_SECONDS)


def _check_channel(desk: PhoneDependencies, channel: str) -> None:
    if not desk.sender.channels:
        raise Invalid({"channel": ["cannot be any: this gateway is not set up to send messages"]})
    if channel not in desk.sender.channels:
        raise Invalid({"channel": [f"must be one of {', '.join(desk.sender.channels)}"]})


async def _count(
    connection: PlainConnection, desk: PhoneDependencies, *, merchant_id: int, phone_digest: bytes
) -> None:
    """Count the message for its merchant and its phone. Raises RateLimited, and then nothing is counted."""
    for limit, subject in ((desk.quotas.by_merchant, ALL), (desk.quotas.by_phone, phone_digest)):
        if not limit:
            continue
        usage = await take_quota(connection, merchant_id=merchant_id, subject=subject, span=QUOTA_SPAN)
        if usage.used > limit:
            whom = "to this phone" if subject else "of this merchant"
            text = f"There were {limit} messages {whom} within the hour."
            raise RateLimited(max(1, math.ceil(usage.left_over.total_seconds())), text)
