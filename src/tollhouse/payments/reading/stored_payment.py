"""Render a stored payment, with the URL of its challenge if one is open."""

from __future__ import annotations

from tollhouse.kernel import codes
from tollhouse.payments.authentications import page_url
from tollhouse.payments.dependencies import PaymentReader
from tollhouse.payments.model import AttemptState, Payment
from tollhouse.payments.reading.view import render_response
from tollhouse.threeds.store import select_newest


async def render_stored_payment(reader: PaymentReader, payment: Payment) -> bytes:
    """Render the response for a stored payment: the one that its first request got, or would get now."""
    return render_response(payment, url=await find_challenge_url(reader, payment))


async def find_challenge_url(reader: PaymentReader, payment: Payment) -> str | None:
    """Return the URL of a payment's open challenge, or None."""
    if payment.attempt.state is not AttemptState.CHALLENGED:
        return None
    async with reader.database.acquire() as connection:
        authentication = await select_newest(
            connection, merchant_id=payment.merchant_id, transaction_id=payment.transaction_id
        )
    if authentication is None or authentication.state.is_decided:
        return None
    return page_url(reader.pages, authentication)


async def is_canceled(reader: PaymentReader, payment: Payment) -> bool:
    """Return whether the cardholder canceled the challenge of a failed payment."""
    if payment.code != codes.AUTHENTICATION_FAILED:
        return False
    async with reader.database.acquire() as connection:
        authentication = await select_newest(
            connection, merchant_id=payment.merchant_id, transaction_id=payment.transaction_id
        )
    return authentication is not None and authentication.is_canceled
