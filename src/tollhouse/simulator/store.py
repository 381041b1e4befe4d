"""Database access for the issuer's journal, balances and used authentication values, written in batches.

A batch of waiting authorizations is one database transaction; without conditions it is one statement without an
explicit transaction. It is repeatable: a known reference is answered from its row, so a batch whose COMMIT has an
unknown outcome is written again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from asyncpg import Record

from tollhouse.simulator import rules
from tollhouse.simulator.cards import names_of
from tollhouse.simulator.model import (
    AuthorizationRequest,
    Booking,
    Condition,
    IssuerResponse,
    JournalRow,
    PublishedCard,
)
from tollhouse.storage.database import PlainConnection
from tollhouse.storage.queries import load_queries

queries = load_queries("tollhouse.simulator")

#: The response to a repeated reference with different content, as real hosts give it.
REFUSED = IssuerResponse(rules.DUPLICATE, None, None, None)
#: The columns that identify a repeat, and the count of repeats.
REPEATED = frozenset(
    {
        "references",
        "kinds",
        "masked_numbers",
        "amounts_minor",
        "currencies",
        "cavvs",
        "agreements",
        "acceptors",
        "deliveries",
    }
)


async def write_entries(connection: PlainConnection, entries: Sequence[JournalRow]) -> list[IssuerResponse]:
    """Journal authorizations by `insert_entries`, in a database transaction if an approval depends on a condition."""
    if not any(entry.conditions for entry in entries):
        return await insert_entries(connection, entries)
    async with connection.transaction():
        return await insert_entries(connection, entries)


async def insert_entries(connection: PlainConnection, entries: Sequence[JournalRow]) -> list[IssuerResponse]:
    """Journal authorizations, subtract their amounts, and return the issuer's responses, old ones included."""
    by_reference = {entry.order.reference: entry for entry in reversed(entries)}
    equal = [entry for entry in entries if _content(entry.order) == _content(by_reference[entry.order.reference].order)]
    deliveries = Counter(entry.order.reference for entry in equal)
    first = sorted(by_reference.values(), key=lambda entry: entry.order.reference)
    fresh = {row["reference"] async for row in queries.insert_entries(connection, **_columns(first, deliveries))}
    results = {reference: by_reference[reference].result for reference in fresh}
    if len(fresh) < len(by_reference):
        known = [entry for entry in first if entry.order.reference not in fresh]
        results |= await _respond_to_known(connection, known, deliveries)
    hanging = [entry for entry in first if entry.conditions and entry.order.reference in fresh]
    if hanging:
        results |= await _check_conditions(connection, hanging)
    await book_disputes(connection, list(_choose_bookings(first, {name: results[name] for name in fresh})))
    answered = {id(entry) for entry in equal}
    return [results[entry.order.reference] if id(entry) in answered else REFUSED for entry in entries]


def _content(order: AuthorizationRequest) -> tuple[object, ...]:
    """Return the parts of an authorization that a repeat must have too, in the form of the journal."""
    cavv = order.proof.cavv if order.proof else None
    money = (order.amount_minor, order.currency)
    return (_kind(order), order.masked_number, *money, cavv, order.agreement, order.acceptor)


def _choose_bookings(entries: Sequence[JournalRow], fresh: Mapping[str, IssuerResponse]) -> Iterator[Booking]:
    """Return the disputes of sales that were approved just now."""
    for order in (entry.order for entry in entries if entry.order.reference in fresh):
        days = order.card.disputed_after_days if order.card else None
        if days is not None and _kind(order) == "sale" and fresh[order.reference].approval_code is not None:
            yield Booking(order.reference, order.reference, order.acceptor, order.transacted_at, days)


async def book_disputes(connection: PlainConnection, bookings: Sequence[Booking]) -> None:
    """Schedule disputes, each once for its capture."""
    if bookings:
        await queries.insert_disputes(
            connection,
            references=[booking.reference for booking in bookings],
            original_references=[booking.original_reference for booking in bookings],
            acceptors=[booking.acceptor for booking in bookings],
            transacted_at=[booking.transacted_at for booking in bookings],
            after_days=[booking.after_days for booking in bookings],
            reason=rules.FRAUD,
        )


async def _respond_to_known(
    connection: PlainConnection, entries: Sequence[JournalRow], deliveries: Mapping[str, int]
) -> dict[str, IssuerResponse]:
    """Respond to authorizations that arrived before, or whose reversal did."""
    late = {entry.order.reference: _choose_late_result(entry) for entry in entries}
    columns = _columns(entries, deliveries, results=late)
    reversed_before = {row["reference"] async for row in queries.update_reversed_entries(connection, **columns)}
    again = [entry for entry in entries if entry.order.reference not in reversed_before]
    declined = {entry.order.reference: REFUSED for entry in again}
    columns = {name: column for name, column in _columns(again, deliveries).items() if name in REPEATED}
    rows = queries.update_deliveries(connection, **columns)
    return (
        {reference: late[reference] for reference in reversed_before}
        | declined
        | {row["reference"]: read_result(row) async for row in rows}
    )


async def _check_conditions(connection: PlainConnection, entries: Sequence[JournalRow]) -> dict[str, IssuerResponse]:
    """Check the conditions of new approvals, and turn those that fail into declines."""
    declined: dict[str, IssuerResponse] = {}
    for condition, check in (
        (Condition.AGREEMENT, _find_agreements),
        (Condition.TRIES, _count_tries),
        (Condition.PROOF, _spend_proofs),
        (Condition.NOTE, _spend_notes),
        (Condition.BALANCE, _take_balances),
    ):
        asked = [e.order for e in entries if condition in e.conditions and e.order.reference not in declined]
        if not asked:
            continue
        held = await check(connection, asked)
        failed = {order.reference: _decline(condition, order) for order in asked if order.reference not in held}
        if failed:
            await _turn_down(connection, failed)
        declined |= failed
    return declined


def _decline(condition: Condition, order: AuthorizationRequest) -> IssuerResponse:
    if condition is not Condition.TRIES:
        return IssuerResponse(condition.value, None, None, None)
    card = _card(order)
    return IssuerResponse(card.renewal_code or rules.INVALID_TRANSACTION, card.renewal_advice, None, None)


async def _turn_down(connection: PlainConnection, declined: Mapping[str, IssuerResponse]) -> None:
    await queries.update_declined(
        connection,
        references=list(declined),
        response_codes=[result.response_code for result in declined.values()],
        advice_codes=[result.advice_code for result in declined.values()],
    )


async def _find_agreements(connection: PlainConnection, orders: Sequence[AuthorizationRequest]) -> set[str]:
    """Return the network transaction IDs that belong to the card, or to one that it replaced."""
    shown = [(order, name) for order in orders for name in names_of(_card(order))]
    rows = queries.select_agreements(
        connection,
        references=[order.reference for order, _ in shown],
        agreements=[order.agreement for order, _ in shown],
        card_names=[name for _, name in shown],
    )
    return {row["reference"] async for row in rows}


async def _count_tries(connection: PlainConnection, orders: Sequence[AuthorizationRequest]) -> set[str]:
    """Return the requests that follow as many attempts as their card declines."""
    rows = queries.select_tried_enough(
        connection,
        references=[order.reference for order in orders],
        declines=[_card(order).renewal_declines for order in orders],
    )
    return {row["reference"] async for row in rows}


async def _spend_proofs(connection: PlainConnection, orders: Sequence[AuthorizationRequest]) -> set[str]:
    shown = [(order, order.proof, _card(order)) for order in orders if order.proof is not None]
    rows = queries.update_proofs_spent(
        connection,
        references=[order.reference for order, _, _ in shown],
        cavvs=[proof.cavv for _, proof, _ in shown],
        ecis=[proof.eci for _, proof, _ in shown],
        ds_trans_ids=[proof.directory_transaction_id for _, proof, _ in shown],
        card_names=[card.name for _, _, card in shown],
        amounts_minor=[order.amount_minor for order, _, _ in shown],
        currencies=[order.currency for order, _, _ in shown],
    )
    return {row["reference"] async for row in rows}


async def _spend_notes(connection: PlainConnection, orders: Sequence[AuthorizationRequest]) -> set[str]:
    held = set()
    for order in orders:
        spent = await queries.update_note_spent(
            connection,
            reference=order.reference,
            card_name=_card(order).name,
            amount_minor=order.amount_minor,
            currency=order.currency,
        )
        if spent is not None:
            held.add(order.reference)
    return held


async def _take_balances(connection: PlainConnection, orders: Sequence[AuthorizationRequest]) -> set[str]:
    held = set()
    for order in sorted(orders, key=lambda order: _card(order).name):
        card = _card(order)
        await queries.insert_balance(
            connection, card_name=card.name, currency=card.balance_currency, amount_minor=card.balance_minor
        )
        left = await queries.update_balance_taken(connection, card_name=card.name, amount_minor=order.amount_minor)
        if left is not None:
            held.add(order.reference)
    return held


def read_result(row: Record) -> IssuerResponse:
    """Parse a response from a journal row."""
    return IssuerResponse(row["response_code"], row["advice_code"], row["approval_code"], row["network_transaction_id"])


def _columns(
    entries: Sequence[JournalRow], deliveries: Mapping[str, int], results: Mapping[str, IssuerResponse] | None = None
) -> dict[str, Any]:
    """Return the columns of entries for the statements. `results` replaces their own."""
    chosen = [results[e.order.reference] if results else e.result for e in entries]
    orders = [entry.order for entry in entries]
    return {
        "references": [order.reference for order in orders],
        "kinds": [_kind(order) for order in orders],
        "masked_numbers": [order.masked_number for order in orders],
        "card_names": [order.card.name if order.card else None for order in orders],
        "amounts_minor": [order.amount_minor for order in orders],
        "currencies": [order.currency for order in orders],
        "response_codes": [result.response_code for result in chosen],
        "advice_codes": [result.advice_code for result in chosen],
        "approval_codes": [result.approval_code for result in chosen],
        "network_transaction_ids": [result.network_transaction_id for result in chosen],
        "cavvs": [order.proof.cavv if order.proof else None for order in orders],
        "agreements": [order.agreement for order in orders],
        "acceptors": [order.acceptor for order in orders],
        "deliveries": [deliveries[order.reference] for order in orders],
    }


def _kind(order: AuthorizationRequest) -> str:
    if not order.amount_minor:
        return "verification"
    return "sale" if order.capture else "authorization"


def _choose_late_result(entry: JournalRow) -> IssuerResponse:
    return entry.result if entry.outruns_reversal else IssuerResponse(rules.REVERSED_BEFORE, None, None, None)


def _card(order: AuthorizationRequest) -> PublishedCard:
    """Return the card of a request with conditions, which always has one."""
    if order.card is None:
        raise ValueError("a condition was set for a number that is not published")
    return order.card
