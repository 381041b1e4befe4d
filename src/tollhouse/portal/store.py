"""Queries for the pages. Every statement is limited to one merchant."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from tollhouse.catalog.model import price_from_json
from tollhouse.history.timeline import select_timeline
from tollhouse.ipn.log import select_payment_deliveries
from tollhouse.kernel.codes import get_code
from tollhouse.kernel.ids import MAX_ID, parse_id
from tollhouse.kernel.money import Currency, Money
from tollhouse.payments.dispute_steps import DisputeStep
from tollhouse.payments.model import Mode, Status
from tollhouse.payments.reading.public_names import name_transaction
from tollhouse.portal.model import (
    AttemptLine,
    AuthenticationLine,
    Cursor,
    KeyLine,
    PaymentFilter,
    PaymentLine,
    PaymentSheet,
    SignInLine,
    SiteSheet,
    SkuLine,
)
from tollhouse.storage.database import Database, PlainConnection
from tollhouse.storage.queries import load_queries, pick_fields

#: Maximum length of a list on a page.
MAX_ROWS = 200
#: Maximum time of a search in the database.
SEARCH_TIMEOUT_MILLISECONDS = 5_000
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
ONE_DAY = timedelta(days=1)
START_OF_LIST = Cursor(datetime(9999, 1, 1, tzinfo=UTC), MAX_ID, MAX_ID)

queries = load_queries("tollhouse.portal")


async def select_payments(
    database: Database, merchant_id: int, wanted: PaymentFilter, *, after: Cursor, max_rows: int
) -> list[PaymentLine]:
    """Return the transactions that match, newest payment first. Raises DatabaseUnavailable if it takes too long."""
    async with database.transaction() as connection:
        await queries.limit_time(connection, milliseconds=SEARCH_TIMEOUT_MILLISECONDS)
        conditions: dict[str, Any] = {
            "merchant_id": merchant_id,
            "status": wanted.status,
            "since": _get_start_of_day(wanted.since) if wanted.since else EARLIEST,
            "until": _get_start_of_day(wanted.until) + ONE_DAY if wanted.until else START_OF_LIST.created_at,
            "email": wanted.email.lower(),
            "max_rows": max_rows,
        }
        if wanted.order:
            rows = queries.select_payments_of_order(connection, payment_id=parse_id(wanted.order) or 0, **conditions)
        else:
            rows = queries.select_payments(
                connection,
                created_at=after.created_at,
                payment_id=after.payment_id,
                transaction_id=after.transaction_id,
                **conditions,
            )
        return [_read_line(row) async for row in rows]


async def select_payment(database: Database, merchant_id: int, transaction_id: int) -> PaymentSheet | None:
    """Return one transaction, or None if the merchant has none with that ID."""
    async with database.acquire() as connection:
        row = await queries.select_payment(connection, merchant_id=merchant_id, transaction_id=transaction_id)
        return await _read_sheet(connection, merchant_id, row) if row else None


async def select_api_keys(database: Database, merchant_id: int) -> list[KeyLine]:
    """Return a merchant's API keys, newest first."""
    async with database.acquire() as connection:
        rows = queries.select_api_keys(connection, merchant_id=merchant_id, max_rows=MAX_ROWS)
        return [
            KeyLine(row["hint"], row["created_at"], row["expires_at"], tuple(map(str, row["allowed_networks"])))
            async for row in rows
        ]


async def select_sign_ins(database: Database, merchant_id: int) -> list[SignInLine]:
    """Return the newest sign-in attempts of a merchant's users."""
    async with database.acquire() as connection:
        rows = queries.select_sign_ins(connection, merchant_id=merchant_id, max_rows=MAX_ROWS)
        return [SignInLine(**row) async for row in rows]


async def select_sites(database: Database, merchant_id: int) -> list[SiteSheet]:
    """Return a merchant's sites by name, with their SKUs."""
    async with database.acquire() as connection:
        skus: dict[int, list[SkuLine]] = {}
        async for row in queries.select_skus(connection, merchant_id=merchant_id, max_rows=MAX_ROWS):
            prices = tuple(price_from_json(price) for price in json.loads(row["prices"]))
            skus.setdefault(row["site_id"], []).append(SkuLine(row["name"], row["title"], row["kind"], prices))
        rows = queries.select_sites(connection, merchant_id=merchant_id, max_rows=MAX_ROWS)
        return [SiteSheet(**row, skus=tuple(skus.get(row["site_id"], ()))) async for row in rows]


async def _read_sheet(connection: PlainConnection, merchant_id: int, row: Mapping[str, Any]) -> PaymentSheet:
    own = {"merchant_id": merchant_id, "transaction_id": row["transaction_id"], "max_rows": MAX_ROWS}
    deliveries = await select_payment_deliveries(connection, merchant_id=merchant_id, payment_id=row["payment_id"])
    timeline = await select_timeline(connection, merchant_id=merchant_id, transaction_id=row["transaction_id"])
    return PaymentSheet(
        **pick_fields(PaymentSheet, row)
        | {
            "line": _read_line(row),
            "parent_id": row["basis_id"],
            "given_reason": row["given_reason"] or "",
            "excess": Money(row["excess_minor"], Currency.of(row["currency"])) if row["excess_minor"] else None,
            "consumer": json.loads(row["consumer"]),
            "source": json.loads(row["source"]),
            "attempts": tuple([AttemptLine(**one) async for one in queries.select_attempts(connection, **own)]),
            "authentications": tuple(
                [AuthenticationLine(**one) async for one in queries.select_authentications(connection, **own)]
            ),
            "deliveries": tuple(one for one in deliveries if one.transaction_id == row["transaction_id"]),
            "timeline": timeline.entries if timeline else (),
        }
    )


def _get_start_of_day(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _read_line(row: Mapping[str, Any]) -> PaymentLine:
    step = DisputeStep(row["dispute_step"]) if row["dispute_step"] else None
    name = name_transaction(Mode(row["mode"]), Status(row["status"]), step)
    return PaymentLine(
        **pick_fields(PaymentLine, row)
        | {
            "mode": name.mode,
            "status": name.status,
            "code": get_code(row["code"]) if row["code"] else None,
            "money": Money(row["amount_minor"], Currency.of(row["currency"])),
        }
    )
