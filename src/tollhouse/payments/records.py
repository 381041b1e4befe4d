"""Convert payments to columns and back. Pure. This is the only place that knows the content of a row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from tollhouse.catalog.model import price_from_json, price_to_json
from tollhouse.kernel.errors import InternalError
from tollhouse.kernel.money import Currency, Money
from tollhouse.notices.model import Recipient
from tollhouse.payments.dispute_steps import columns_of_dispute, read_dispute
from tollhouse.payments.model import (
    Attempt,
    AttemptState,
    Cause,
    ExternalAuthentication,
    Holding,
    Item,
    Mode,
    OriginalTransaction,
    Payment,
    Renewing,
    Source,
    Status,
    Subscribing,
    SubscriptionSummary,
)
from tollhouse.payments.steps import BeginRecord, FinishRecord
from tollhouse.storage.queries import pick_fields
from tollhouse.vault.seal import Sealed


def intent_row(place: int, item: BeginRecord) -> tuple[Any, ...]:
    """Return a new payment as a `payment_intent_v1`, at its position in the batch."""
    payment, attempt = item.payment, item.payment.attempt
    return (
        place,
        payment.merchant_id,
        payment.payment_id,
        payment.transaction_id,
        payment.site_id,
        payment.consumer_id,
        _write(_terms_of(payment)),
        _write(_consumer_of(payment)),
        payment.metadata,
        payment.ipn_url,
        payment.redirect_url,
        payment.request_id,
        payment.mode,
        payment.money.amount_minor,
        payment.money.currency.code,
        *_source_columns(payment).values(),
        payment.initiator,
        payment.reason,
        payment.network_transaction_id,
        payment.double_click_digest,
        payment.page_try,
        payment.created_at,
        attempt.acquirer,
        attempt.reference,
        attempt.card and attempt.card.content,
        attempt.card and attempt.card.key_version,
        attempt.fingerprint,
        item.resolve_seconds,
        attempt.sent_at,
        item.token_id,
    )


def outcome_row(place: int, record: FinishRecord) -> tuple[Any, ...]:
    """Return a changed attempt as an `attempt_outcome_v1`, at its position in the batch."""
    payment, attempt = record.payment, record.payment.attempt
    return (
        place,
        record.move_id,
        payment.merchant_id,
        payment.transaction_id,
        payment.payment_id,
        attempt.number,
        payment.mode.is_first,
        record.expected,
        attempt.state,
        record.resolve_seconds,
        attempt.response_code,
        attempt.advice_code,
        attempt.approval_code,
        payment.status,
        payment.code,
        payment.network_transaction_id,
        payment.finished_at,
        attempt.answered_at,
        # The response of a final outcome is in its event.
        record.answer if payment.status is Status.PENDING else None,
        attempt.acquirer,
        attempt.reference,
        record.reversal,
        record.erase_code_of,
    )


def next_attempt_row(place: int, payment: Payment, resolve_seconds: float | None) -> tuple[Any, ...]:
    """Return the next attempt of a payment as a `next_attempt_v1`."""
    attempt = payment.attempt
    return (
        place,
        payment.merchant_id,
        payment.transaction_id,
        attempt.number,
        payment.payment_id,
        attempt.acquirer,
        attempt.reference,
        attempt.state,
        attempt.card and attempt.card.content,
        attempt.card and attempt.card.key_version,
        attempt.fingerprint,
        payment.double_click_digest,
        resolve_seconds,
        attempt.sent_at,
    )


def columns_of_operation(payment: Payment, *, resolve_seconds: float) -> dict[str, Any]:
    """Return the columns of `insert_operation`."""
    return _columns_of_step(payment) | {
        "acquirer": payment.attempt.acquirer,
        "reference": payment.attempt.reference,
        "sent_at": payment.attempt.sent_at,
        "resolve_seconds": resolve_seconds,
    }


def columns_of_chargeback(payment: Payment) -> dict[str, Any]:
    """Return the columns of `insert_chargeback`."""
    if payment.dispute is None:
        raise InternalError("A chargeback is not a step of a dispute.")
    return _columns_of_step(payment) | columns_of_dispute(payment.dispute)


def build_placeholder_attempt(at: datetime) -> Attempt:
    """Build the placeholder attempt of a transaction without an acquirer call: final and never sent."""
    return Attempt(
        number=0, acquirer="", reference="", state=AttemptState.NOT_SENT, card=None, fingerprint=b"", sent_at=at
    )


def _columns_of_step(payment: Payment) -> dict[str, Any]:
    basis = payment.basis
    if basis is None:
        raise InternalError("An operation acts on nothing.")
    return {
        "merchant_id": payment.merchant_id,
        "payment_id": payment.payment_id,
        "transaction_id": payment.transaction_id,
        "mode": payment.mode,
        "amount_minor": payment.money.amount_minor,
        "currency": payment.money.currency.code,
        **_source_columns(payment),
        "is_only": payment.mode in {Mode.CAPTURE, Mode.VOID},
        "initiator": payment.initiator,
        "reason": payment.reason,
        "created_at": payment.created_at,
        "basis_id": basis.transaction_id,
        "basis_mode": basis.mode,
        "cause": basis.cause,
        "why": basis.reason,
        "request_id": payment.request_id,
    }


def read_payment(row: Mapping[str, Any]) -> Payment:
    """Read a payment from a row of `select_payment`. Fields of the first transaction are empty for an operation."""
    terms, consumer = (json.loads(row[name]) for name in ("terms", "consumer"))
    items = tuple(read_item(item) for item in terms["items"])
    mode = Mode(row["mode"])
    return Payment(
        **pick_fields(Payment, row)
        | {
            "descriptor": terms["descriptor"],
            "external_id": consumer.pop("externalId", None),
            "consumer_ip": consumer.pop("ip", ""),
            "consumer": consumer,
            "items": items,
            "ipn_format": terms["ipnFormat"],
            "mode": mode,
            "status": Status(row["status"]),
            "money": Money(row["amount_minor"], Currency.of(row["currency"])),
            "source": _read_source(row),
            "emulate_code": terms.get("emulateCode") if mode.is_first else None,
            "attempt": build_placeholder_attempt(row["created_at"]) if row["number"] is None else _read_attempt(row),
            "subscribing": _read_subscribing(terms, items) if mode.is_first else (),
            "renewing": _read_renewing(terms.get("renewing")) if mode.is_first else None,
            "changing": terms.get("changing") if mode.is_first else None,
            "subscription_summaries": _read_summaries(row["subscriptions"]) if mode.is_first else (),
            "usd_per_unit": _read_rate(terms.get("usdPerUnit")),
            "may_redirect": terms.get("mayRedirect", True),
            "proceed_without_3ds": terms.get("proceedWithout3ds", True),
            "mid": terms.get("mid"),
            "external_authentication": _read_external_authentication(terms.get("externalAuthentication")),
            "recipient": Recipient(**terms["recipient"]) if "recipient" in terms else None,
            "holding": _read_holding(terms.get("holding")) if mode.is_first else None,
            "basis": _read_basis(row),
            "dispute": read_dispute(row),
        }
    )


def _terms_of(payment: Payment) -> dict[str, Any]:
    terms: dict[str, Any] = {
        "descriptor": payment.descriptor,
        "ipnFormat": payment.ipn_format,
        "mayRedirect": None if payment.may_redirect else False,
        "proceedWithout3ds": None if payment.proceed_without_3ds else False,
        "items": [item_to_json(item) for item in payment.items],
        "emulateCode": payment.emulate_code,
        "mid": payment.mid,
    }
    if payment.usd_per_unit is not None:
        terms["usdPerUnit"] = str(payment.usd_per_unit)
    if payment.external_authentication:
        terms["externalAuthentication"] = _external_authentication_to_json(payment.external_authentication)
    if payment.recipient:
        terms["recipient"] = asdict(payment.recipient)
    if payment.holding:
        terms["holding"] = {"captureDays": payment.holding.capture_after_days, "validDays": payment.holding.valid_days}
    if payment.subscribing:
        terms["subscribing"] = [
            {"id": each.subscription_id, "item": payment.items.index(each.item)} for each in payment.subscribing
        ]
    if payment.renewing:
        terms["renewing"] = _renewing_to_json(payment.renewing)
    if payment.changing:
        terms["changing"] = payment.changing
    return {name: value for name, value in terms.items() if value is not None}


def item_to_json(item: Item) -> dict[str, Any]:
    """Convert an item for a JSON column."""
    own: dict[str, Any] = {"siteId": item.site_id, "title": item.title}
    if item.sku_name:
        own["skuName"] = item.sku_name
    if item.extras:
        own["extras"] = dict(item.extras)
    return own | {"prices": [price_to_json(price) for price in item.prices]}


def read_item(item: Mapping[str, Any]) -> Item:
    """Read an item from a JSON column."""
    prices = tuple(price_from_json(price) for price in item["prices"])
    return Item(item["siteId"], item.get("skuName"), item["title"], prices, item.get("extras", {}))


def _consumer_of(payment: Payment) -> dict[str, Any]:
    own: dict[str, Any] = {"ip": payment.consumer_ip}
    if payment.external_id:
        own["externalId"] = payment.external_id
    return {**payment.consumer, **own}


def _source_columns(payment: Payment) -> dict[str, Any]:
    source = payment.source
    return {
        "source_kind": source.kind,
        "brand": source.brand,
        "masked_number": source.masked_number,
        "expiry_month": source.expiry_month,
        "expiry_year": source.expiry_year,
        "account_id": source.account_id,
        "is_stored": source.is_stored,
    }


def _read_source(row: Mapping[str, Any]) -> Source:
    return Source(**pick_fields(Source, row), kind=row["source_kind"], is_disabled=bool(row["is_account_disabled"]))


def _read_attempt(row: Mapping[str, Any]) -> Attempt:
    card = Sealed(row["sealed_card"], row["key_version"]) if row["sealed_card"] is not None else None
    return Attempt(**pick_fields(Attempt, row) | {"state": AttemptState(row["state"]), "card": card})


def _read_rate(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _read_subscribing(terms: Mapping[str, Any], items: Sequence[Item]) -> tuple[Subscribing, ...]:
    return tuple(Subscribing(each["id"], items[each["item"]]) for each in terms.get("subscribing", ()))


def _renewing_to_json(renewing: Renewing) -> dict[str, Any]:
    return {
        "id": renewing.subscription_id,
        "period": renewing.period,
        "number": renewing.number,
        "dueAt": renewing.due_at.isoformat(),
        "accountId": str(renewing.account_id),
    }


def _read_renewing(content: Mapping[str, Any] | None) -> Renewing | None:
    if content is None:
        return None
    due_at, account_id = datetime.fromisoformat(content["dueAt"]), UUID(content["accountId"])
    return Renewing(content["id"], content["period"], content["number"], due_at, account_id)


def _read_summaries(text: str | None) -> tuple[SubscriptionSummary, ...]:
    """Read the current subscriptions of a payment."""
    return () if text is None else tuple(msgspec.convert(each, SubscriptionSummary) for each in json.loads(text))


def _external_authentication_to_json(external: ExternalAuthentication) -> dict[str, Any]:
    """Convert an external authentication without its proof, which the acquirer got and which is not stored."""
    facts = {"status": external.status, "eci": external.eci, "exemption": external.exemption}
    return {name: value for name, value in facts.items() if value is not None}


def _read_external_authentication(facts: Mapping[str, Any] | None) -> ExternalAuthentication | None:
    """Read an external authentication; None if there was none."""
    return ExternalAuthentication(**facts) if facts is not None else None


def _read_holding(holding: Mapping[str, Any] | None) -> Holding | None:
    return Holding(holding["captureDays"], holding["validDays"]) if holding else None


def _read_basis(row: Mapping[str, Any]) -> OriginalTransaction | None:
    if row["basis_id"] is None:
        return None
    return OriginalTransaction(
        row["basis_id"], Mode(row["basis_mode"]), row["basis_amount_minor"], Cause(row["cause"]), row["why"]
    )


def _write(content: Mapping[str, Any]) -> str:
    return msgspec.json.encode(content).decode()
