"""Build the merchant's URL to which a browser returns.

Seven parameters are appended to the merchant's own URL, the same ones on every return. They inform the page that the
consumer sees; only the callback proves that the money was taken.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from tollhouse.kernel.urls import append_query
from tollhouse.payments.dependencies import ReturnLinks
from tollhouse.payments.model import Payment, Status

#: Hexadecimal digits of `sh`, as clients expect them.
SIGNATURE_LENGTH = 40


async def build_return_url(returns: ReturnLinks, payment: Payment) -> str:
    """Return the merchant's redirectUrl with the result of a payment appended.

    An open outcome is not approved and has no code, because the code `0` means approved.
    """
    code = None if payment.status is Status.PENDING else payment.code
    result = {
        "order_id": str(payment.payment_id),
        "ustas": payment.consumer_id,
        "consumer_id": payment.consumer_id,
        "sh": "",
        "is_approved": "1" if payment.status is Status.SUCCESS else "0",
        "cb_code": code,
        "cb_transaction_id": str(payment.transaction_id),
    }
    return await _append(returns, payment.merchant_id, payment.redirect_url, result)


async def build_untried_return_url(returns: ReturnLinks, *, merchant_id: int, payment_id: int, url: str) -> str:
    """Return a merchant's URL with the facts of an order that was never tried."""
    result = {"order_id": str(payment_id), "sh": "", "is_approved": "0"}
    return await _append(returns, merchant_id, url, result)


async def _append(returns: ReturnLinks, merchant_id: int, url: str, result: Mapping[str, str | None]) -> str:
    secret = (await returns.ipn_secrets(merchant_id))[0]
    signed = {name: text for name, text in result.items() if text is not None} | {"sh": sign_return(secret, result)}
    return append_query(url, signed)


def sign_return(secret: str, result: Mapping[str, str | None]) -> str:
    """Return `sh`: the beginning of an HMAC-SHA-256 over the lines of the result; a missing value is an empty line."""
    lines = [result.get(name) or "" for name in ("order_id", "cb_transaction_id", "is_approved", "cb_code")]
    return hmac.new(secret.encode(), "\n".join(lines).encode(), hashlib.sha256).hexdigest()[:SIGNATURE_LENGTH]
