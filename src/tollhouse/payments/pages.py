"""Build URLs of payment pages, and the return to one from 3-D Secure.

The key in a URL is a keyed hash of the payment's ID: any process can compute it again, and the database, which has only
a hash of it, cannot.
"""

from __future__ import annotations

from tollhouse.payments.authentications import digest_key
from tollhouse.payments.dependencies import PageLinks, ReturnLinks
from tollhouse.payments.model import Payment, Status
from tollhouse.payments.returns import build_return_url
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
