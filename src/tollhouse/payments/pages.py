"""Build the URLs to which browsers go: payment pages, and the merchant's after a payment.

The key in a URL of a page is a keyed hash of the payment's ID: any process can compute it again, and the database,
which has only a hash of it, cannot.

Seven parameters are appended to the merchant's own URL, the same ones on every return. They inform the page that the
consumer sees; only the callback proves that the money was taken.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from tollhouse.kernel.urls import append_query
from tollhouse.payments.authentications import digest_key
from tollhouse.payments.dependencies import PageLinks, ReturnLinks
from tollhouse.payments.model import Payment, Status
from tollhouse.threeds.elements import encode_base64url

#: The path of payment pages.
PATH = "/pay"


def page_key(pages: PageLinks, *, merchant_id: int, payment_id: int) -> str:
    """Return the key of a payment's page: 256 bits that cannot be guessed."""
    return encode_base64url(pages.vault.digest(f"payment page|{merchant_id}|{payment_id}".encode()))


def form_key(pages: PageLinks, *, merchant_id: int, payment_id: int, number: int) -> str:
    """Return the key that a form of the page sends. It is valid for one try."""
    return encode_base64url(pages.vault.digest(f"payment form|{merchant_id}|{payment_id}|{number}".encode()))


def page_digest(pages: PageLinks, *, merchant_id: int, payment_id: int) -> bytes:
    """Return the stored hash of the key."""
    return digest_key(page_key(pages, merchant_id=merchant_id, payment_id=payment_id))


def page_address(pages: PageLinks, *, merchant_id: int, payment_id: int) -> str:
    """Return the URL to which a merchant sends the consumer."""
    return f"{pages.base_url}{PATH}/{page_key(pages, merchant_id=merchant_id, payment_id=payment_id)}"


async def choose_return_url(returns: ReturnLinks, payment: Payment) -> str:
    """Return the URL to which a browser goes after 3-D Secure: the merchant's, or the page for another card."""
    if payment.page_try is None or payment.status is Status.SUCCESS:
        return await build_return_url(returns, payment)
    return f"{page_address(returns.pages, merchant_id=payment.merchant_id, payment_id=payment.payment_id)}/done"


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
