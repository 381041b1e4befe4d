"""Addresses of payment pages, and the way back to one from 3-D Secure.

The key in an address is a keyed hash of the purchase's id: any process can name it again, and the database, which has
a hash of it only, cannot.
"""

from __future__ import annotations

from tollhouse.payments.authentications import digest_key
from tollhouse.payments.dependencies import PageLinks, ReturnLinks
from tollhouse.payments.model import Payment, Status
from tollhouse.payments.returns import leave_url
from tollhouse.threeds.elements import encode_base64url

#: The path of payment pages.
PATH = "/pay"


def page_key(pages: PageLinks, *, merchant_id: int, payment_id: int) -> str:
    """Return the key of a purchase's page: 256 bits that nobody can guess."""
    return encode_base64url(pages.vault.digest(f"payment page|{merchant_id}|{payment_id}".encode()))


def form_key(pages: PageLinks, *, merchant_id: int, payment_id: int, number: int) -> str:
    """Return what a form of the page proves to be one with: good for one try."""
    return encode_base64url(pages.vault.digest(f"payment form|{merchant_id}|{payment_id}|{number}".encode()))


def page_digest(pages: PageLinks, *, merchant_id: int, payment_id: int) -> bytes:
    """Return what is stored of the key."""
    return digest_key(page_key(pages, merchant_id=merchant_id, payment_id=payment_id))


def page_address(pages: PageLinks, *, merchant_id: int, payment_id: int) -> str:
    """Return the address to which a merchant sends the buyer."""
    return f"{pages.base_url}{PATH}/{page_key(pages, merchant_id=merchant_id, payment_id=payment_id)}"


async def way_back(returns: ReturnLinks, payment: Payment) -> str:
    """Return where a browser goes that is done with 3-D Secure: to the merchant, or to the page for another card."""
    if payment.page_try is None or payment.status is Status.SUCCESS:
        return await leave_url(returns, payment)
    return f"{page_address(returns.pages, merchant_id=payment.merchant_id, payment_id=payment.payment_id)}/done"
