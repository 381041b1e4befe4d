"""Captures, voids, refunds and reversals in the journal, each in the caller's database transaction and repeatable.

The row that an operation acts on is locked first, then the operation's own, then the balance.
"""

from __future__ import annotations

import secrets
from typing import Any

from asyncpg import Record

from tollhouse.simulator import rules
from tollhouse.simulator.cards import published_cards
from tollhouse.simulator.faults import MatchedMessage
from tollhouse.simulator.issuing import positions
from tollhouse.simulator.issuing.positions import BalanceChange, CardBalance
from tollhouse.simulator.model import Booking, IssuerResponse, OperationMessage, PublishedCard
from tollhouse.simulator.store import book_disputes, queries, read_result
from tollhouse.storage.database import PlainConnection
from tollhouse.storage.queries import pick_fields


async def select_original(
    connection: PlainConnection, operation: OperationMessage
) -> tuple[PublishedCard | None, MatchedMessage | None]:
    """Return the published card of an operation, and the parts that faults match."""
    row = await queries.select_original(connection, original_reference=operation.original_reference)
    if row is None:
        return None, None
    passing = MatchedMessage(row["acceptor"], row["masked_number"], operation.amount_minor, operation.currency)
    return published_cards().get(row["card_name"]), passing


async def carry_out(
    connection: PlainConnection, operation: OperationMessage, card: PublishedCard | None, *, outruns_reversal: bool
) -> IssuerResponse:
    """Journal an operation, move its money, and return the issuer's response, or the first response for a repeat."""
    position = await _lock_position(connection, operation.original_reference)
    result = _draft_result(positions.choose_response_code(operation, position, card))
    if await queries.insert_operation(connection, **_columns(operation, position, result)) is None:
        return await _respond_to_known(connection, operation, position, result if outruns_reversal else None)
    if position is not None and result.approval_code is not None:
        await _move(connection, position, positions.carry_out(operation, position))
        await _book(connection, operation, position, card)
    return result


async def _book(
    connection: PlainConnection, operation: OperationMessage, position: CardBalance, card: PublishedCard | None
) -> None:
    """Schedule the dispute about a capture, if the card has one."""
    days = card.disputed_after_days if card else None
    if days is not None and operation.kind == "capture":
        booking = Booking(operation.reference, position.reference, position.acceptor, operation.transacted_at, days)
        await book_disputes(connection, [booking])


async def reverse(connection: PlainConnection, reference: str) -> None:
    """Reverse a reference once and undo its effect, or record the reversal for a later arrival."""
    if await queries.insert_reversal(connection, reference=reference) is not None:
        return
    original = await queries.select_original_of(connection, reference=reference)
    position = await _lock_position(connection, original) if original is not None else None
    row = await queries.update_reversed(connection, reference=reference)
    if row is None or row["approval_code"] is None:
        return
    if position is not None:
        await _move(connection, position, positions.undo(row["kind"], row["amount_minor"], position))
    elif row["card_name"] is not None:
        before = _read_position(row, was_reversed=False)
        await queries.update_balance_returned(
            connection, card_name=row["card_name"], amount_minor=before.held_minor + before.taken_minor
        )


async def _respond_to_known(
    connection: PlainConnection, operation: OperationMessage, position: CardBalance | None, late: IssuerResponse | None
) -> IssuerResponse:
    """Respond to an operation that arrived before, or whose reversal did. It moves no money."""
    declined = late or IssuerResponse(rules.REVERSED_BEFORE, None, None, None)
    columns = _columns(operation, position, declined)
    if await queries.update_reversed_operation(connection, **columns) is not None:
        return declined
    row = await queries.update_operation_deliveries(
        connection,
        reference=operation.reference,
        kind=operation.kind,
        original_reference=columns["original_reference"],
        named_reference=operation.original_reference,
        amount_minor=operation.amount_minor,
        currency=operation.currency,
    )
    return IssuerResponse(rules.DUPLICATE, None, None, None) if row is None else read_result(row)


async def _lock_position(connection: PlainConnection, original_reference: str) -> CardBalance | None:
    row = await queries.lock_original(connection, original_reference=original_reference)
    if row is None or row["kind"] not in positions.ORIGINAL_KINDS:
        return None
    return _read_position(row, was_reversed=row["reversed_at"] is not None)


async def _move(connection: PlainConnection, position: CardBalance, move: BalanceChange) -> None:
    await queries.update_position(
        connection,
        reference=position.reference,
        captured_minor=move.captured_minor,
        released_minor=move.released_minor,
        credited_minor=move.credited_minor,
        is_voided=move.is_voided,
    )
    if move.returned_minor and position.card_name is not None:
        await queries.update_balance_returned(
            connection, card_name=position.card_name, amount_minor=move.returned_minor
        )


def _read_position(row: Record, *, was_reversed: bool) -> CardBalance:
    is_voided = row["voided_at"] is not None
    is_live = row["approval_code"] is not None and not is_voided and not was_reversed
    return CardBalance(**pick_fields(CardBalance, row), is_live=is_live, is_voided=is_voided)


def _draft_result(response_code: str) -> IssuerResponse:
    approved = response_code == rules.APPROVED
    return IssuerResponse(response_code, None, secrets.token_hex(3).upper() if approved else None, None)


def _columns(operation: OperationMessage, position: CardBalance | None, result: IssuerResponse) -> dict[str, Any]:
    return {
        "reference": operation.reference,
        "kind": operation.kind,
        "original_reference": position.reference if position else operation.original_reference,
        "masked_number": position.masked_number if position else None,
        "card_name": position.card_name if position else None,
        "acceptor": position.acceptor if position else "",
        "amount_minor": operation.amount_minor,
        "currency": operation.currency,
        "response_code": result.response_code,
        "approval_code": result.approval_code,
    }
