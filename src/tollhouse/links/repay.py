"""Create the page on which a consumer repays a chargeback: one page for each chargeback, paid at most once.

A chargeback has one payment, whose page keeps its URL; the database allows one attempt of a payment to succeed. A
second payment is created only after all attempts of the first were declined.
"""

from __future__ import annotations

from datetime import timedelta

from tollhouse.catalog.model import Offset, Price
from tollhouse.kernel.errors import NotFound
from tollhouse.kernel.money import Money
from tollhouse.links.create import MADE
from tollhouse.links.dependencies import LinkDependencies
from tollhouse.links.model import LinkState, Terms
from tollhouse.links.store import insert_link, lock_repayment, renew_link, select_link, update_repayment
from tollhouse.notices.model import ReceiptRequest
from tollhouse.payments.dispute_steps import DisputeStep
from tollhouse.payments.model import Item, Payment
from tollhouse.payments.pages import page_address, page_digest
from tollhouse.payments.store import select_payment
from tollhouse.storage.database import PlainConnection
from tollhouse.wire.render import render_json

#: Time until a page expires, counted again if an expired page is requested again.
TTL = timedelta(days=30)

#: The `code` if the chargeback was already repaid.
REPAID = 1

NO_CHARGEBACK = "Chargeback not found."


async def find_repaid_link(
    dependencies: LinkDependencies, *, merchant_id: int, transaction_id: int, request_id: str
) -> bytes:
    """Return the URL of the page for repaying a chargeback, or report that it was repaid. Raises NotFound."""
    async with dependencies.database.acquire() as connection:
        chargeback = await select_payment(connection, merchant_id=merchant_id, transaction_id=transaction_id)
    if chargeback is None or not _has_moved_money(chargeback):
        raise NotFound(NO_CHARGEBACK)
    fresh_id = await dependencies.numbers.next_number()
    async with dependencies.database.transaction() as connection:
        payment_id = await _open_page(dependencies, connection, chargeback, fresh_id=fresh_id, request_id=request_id)
    if payment_id is None:
        return render_json({"url": "", "code": REPAID})
    return render_json(
        {"url": page_address(dependencies.pages, merchant_id=merchant_id, payment_id=payment_id), "code": MADE}
    )


async def _open_page(
    dependencies: LinkDependencies, connection: PlainConnection, chargeback: Payment, *, fresh_id: int, request_id: str
) -> int | None:
    """Return the payment of a page that can be or is being paid, or None if one was paid."""
    merchant_id, transaction_id = chargeback.merchant_id, chargeback.transaction_id
    payment_id = await lock_repayment(connection, merchant_id, transaction_id, payment_id=fresh_id)
    link = await select_link(
        connection, page_digest(dependencies.pages, merchant_id=merchant_id, payment_id=payment_id)
    )
    state = link.state if link else None
    if state is LinkState.PAID:
        return None
    if state is LinkState.EXPIRED:
        await renew_link(connection, merchant_id, payment_id, ttl=TTL)
    if state is LinkState.SPENT:
        payment_id = fresh_id
        await update_repayment(connection, merchant_id, transaction_id, payment_id=fresh_id)
    if state in {None, LinkState.SPENT}:
        await insert_link(
            connection,
            merchant_id=merchant_id,
            payment_id=payment_id,
            digest=page_digest(dependencies.pages, merchant_id=merchant_id, payment_id=payment_id),
            terms=build_terms(chargeback),
            request_id=request_id,
            ttl=TTL,
        )
    return payment_id


def _has_moved_money(payment: Payment) -> bool:
    """Return whether a transaction is a chargeback that moved money, not a mere notice of a dispute."""
    dispute = payment.dispute
    return dispute is not None and dispute.step is not DisputeStep.WON and dispute.moved_minor > 0


def build_terms(chargeback: Payment) -> Terms:
    """Build the terms of the page: the charged-back amount, the same consumer, the same site."""
    recipient = chargeback.recipient
    moved = chargeback.dispute.moved_minor if chargeback.dispute else chargeback.money.amount_minor
    price = Price(Offset(0, "d"), Money(moved, chargeback.money.currency), repeat=False)
    return Terms(
        items=(Item(chargeback.site_id, None, chargeback.title, (price,)),),
        consumer=chargeback.consumer,
        consumer_id=chargeback.consumer_id,
        external_id=chargeback.external_id,
        metadata=chargeback.metadata,
        ipn_url=chargeback.ipn_url or None,
        redirect_url=chargeback.redirect_url or None,
        receipt=ReceiptRequest(recipient.to, recipient.language) if recipient else None,
    )
