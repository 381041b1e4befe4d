"""Finish hooks for packages below: store the card, post ledger entries, send emails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tollhouse.consumers.store import LastAccountRow
from tollhouse.kernel.money import Money
from tollhouse.ledger.model import Movement, MovementKind
from tollhouse.ledger.rules import derive_entries
from tollhouse.notices.model import EmailFacts
from tollhouse.notices.model import NoticeKind as EmailKind
from tollhouse.notices.store import NoticeRow
from tollhouse.payments.dispute_steps import DisputeStep
from tollhouse.payments.model import FinishRows, Mode, Payment, Status
from tollhouse.vault.accounts import StoredCardRow


class StoreCard:
    """A finish hook that creates the stored card on the first approval; a later one updates its expiry."""

    kind = FinishRows.CARDS

    def rows(self, payment: Payment) -> Sequence[StoredCardRow]:
        """Return the card of an approved payment, unless it is stored."""
        card = payment.attempt.card
        if not _is_approved_purchase(payment) or payment.source.is_stored or card is None:
            return ()
        source = payment.source
        row = StoredCardRow(
            merchant_id=payment.merchant_id,
            account_id=source.account_id,
            consumer_id=payment.consumer_id,
            fingerprint=payment.attempt.fingerprint,
            key_version=card.key_version,
            sealed_card=card.content,
            brand=source.brand,
            masked_number=source.masked_number,
            expiry_month=source.expiry_month,
            expiry_year=source.expiry_year,
            network_transaction_id=payment.network_transaction_id,
        )
        return (row,)


class RecordLastCard:
    """A finish hook that records the card of the consumer's last successful payment.

    The source `consumer` charges that card. Charges by the merchant change nothing. A verification counts until the
    consumer has paid.
    """

    kind = FinishRows.LAST_ACCOUNTS

    def rows(self, payment: Payment) -> Sequence[LastAccountRow]:
        """Return the consumer and the account of an approved payment or verification by the consumer."""
        if not _is_approved_purchase(payment) or payment.initiator != "customer":
            return ()
        has_paid = payment.money.amount_minor > 0
        return (LastAccountRow(payment.merchant_id, payment.consumer_id, payment.source.account_id, has_paid),)


class PostEntries:
    """A finish hook that posts the movement of money in the ledger. Declines and verifications move none."""

    kind = FinishRows.ENTRIES

    def rows(self, payment: Payment) -> Sequence[tuple[Any, ...]]:
        """Return the entries of a payment that succeeded, as the columns of `ledger_entry_v1`."""
        if payment.status is not Status.SUCCESS:
            return ()
        kind, money = MovementKind(payment.mode.value), payment.money
        if payment.dispute is not None:
            money = Money(payment.dispute.moved_minor, money.currency)
            kind = MovementKind.DISPUTE_WON if payment.dispute.step is DisputeStep.WON else kind
        if not money.amount_minor:
            return ()
        movement = Movement(payment.merchant_id, payment.payment_id, payment.transaction_id, kind, money)
        return [entry.columns for entry in derive_entries([movement], {movement.purchase: _find_held(payment)})]


#: The kind of email by transaction. An authorization takes no money; its receipt comes with the capture.
EMAIL_KINDS = {Mode.SALE: EmailKind.RECEIPT, Mode.CAPTURE: EmailKind.RECEIPT, Mode.CREDIT: EmailKind.REFUND}


class EmailReceipt:
    """A finish hook that emails the requested receipt for a charge, or a notice that money was returned."""

    kind = FinishRows.EMAILS

    def rows(self, payment: Payment) -> Sequence[tuple[Any, ...]]:
        """Return the email about an approved payment, if one was requested."""
        recipient, letter = payment.recipient, EMAIL_KINDS.get(payment.mode)
        if recipient is None or letter is None or payment.status is not Status.SUCCESS:
            return ()
        facts = EmailFacts(
            kind=letter,
            shop=recipient.shop or payment.descriptor,
            title=payment.title,
            descriptor=payment.descriptor,
            amount_minor=payment.money.amount_minor,
            currency=payment.money.currency.code,
            order_id=str(payment.payment_id),
            transaction_id=str(payment.transaction_id),
            at=payment.finished_at or payment.created_at,
            brand=payment.source.brand,
            masked_number=payment.source.masked_number,
            approval_code=payment.attempt.approval_code,
        )
        to, language = recipient.to, recipient.language
        row = NoticeRow(payment.merchant_id, to, language, facts, transaction_id=payment.transaction_id)
        return (row.columns,)


def _find_held(operation: Payment) -> int:
    """Return the held amount of the authorization that an operation acts on: all of it until a capture or void."""
    original = operation.basis
    return original.amount_minor if original is not None and original.mode is Mode.AUTH else 0


def _is_approved_purchase(payment: Payment) -> bool:
    """Return whether this is an approved first transaction; operations say nothing about the consumer's card."""
    return payment.mode.is_first and payment.status is Status.SUCCESS
