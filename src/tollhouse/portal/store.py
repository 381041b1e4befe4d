"""Rows as the pages show them. Every statement has the merchant in its condition."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tollhouse.catalog.model import price_from_json
from tollhouse.history.timeline import select_timeline
from tollhouse.ipn.log import select_payment_deliveries
from tollhouse.kernel.codes import get_code
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
from tollhouse.storage.queries import load_queries

if TYPE_CHECKING:
    from tollhouse.storage.database import Database, PlainConnection

#: No list on a page is longer.
MOST = 200
#: What a search may take of the database's time.
SEARCH_MILLISECONDS = 5_000
MAX_ID = 2**63 - 1
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
ONE_DAY = timedelta(days=1)
BEGINNING = Cursor(datetime(9999, 1, 1, tzinfo=UTC), MAX_ID, MAX_ID)

queries = load_queries("tollhouse.portal")


async def select_payments(
    database: Database, merchant_id: int, wanted: PaymentFilter, *, after: Cursor, most: int
) -> list[PaymentLine]:
    """Return the transactions that fit, newest order first. Raises DatabaseUnavailable when it takes too long."""
    async with database.transaction() as connection:
        await queries.limit_time(connection, milliseconds=SEARCH_MILLISECONDS)
        fitting: dict[str, Any] = {
            "merchant_id": merchant_id,
            "status": wanted.status,
            "since": _begin_of(wanted.since) if wanted.since else EARLIEST,
            "until": _begin_of(wanted.until) + ONE_DAY if wanted.until else BEGINNING.created_at,
            "email": wanted.email.lower(),
            "most": most,
        }
        if wanted.order:
            rows = queries.select_payments_of_order(connection, payment_id=read_id(wanted.order), **fitting)
        else:
            rows = queries.select_payments(
                connection,
                created_at=after.created_at,
                payment_id=after.payment_id,
                transaction_id=after.transaction_id,
                **fitting,
            )
        return [_read_line(row) async for row in rows]


async def select_payment(database: Database, merchant_id: int, transaction_id: int) -> PaymentSheet | None:
    """Return all about one transaction, or None when the merchant has none with that id."""
    async with database.acquire() as connection:
        row = await queries.select_payment(connection, merchant_id=merchant_id, transaction_id=transaction_id)
        return await _read_sheet(connection, merchant_id, row) if row else None


async def select_api_keys(database: Database, merchant_id: int) -> list[KeyLine]:
    """Return a merchant's API keys, newest first."""
    async with database.acquire() as connection:
        rows = queries.select_api_keys(connection, merchant_id=merchant_id, most=MOST)
        return [
            KeyLine(row["hint"], row["created_at"], row["expires_at"], tuple(map(str, row["allowed_networks"])))
            async for row in rows
        ]


async def select_sign_ins(database: Database, merchant_id: int) -> list[SignInLine]:
    """Return the newest tries to sign in as one of a merchant's users."""
    async with database.acquire() as connection:
        rows = queries.select_sign_ins(connection, merchant_id=merchant_id, most=MOST)
        return [SignInLine(**row) async for row in rows]


async def select_sites(database: Database, merchant_id: int) -> list[SiteSheet]:
    """Return a merchant's sites by name, with their products."""
    async with database.acquire() as connection:
        skus: dict[int, list[SkuLine]] = {}
        async for row in queries.select_skus(connection, merchant_id=merchant_id, most=MOST):
            prices = tuple(price_from_json(price) for price in json.loads(row["prices"]))
            skus.setdefault(row["site_id"], []).append(SkuLine(row["name"], row["title"], row["kind"], prices))
        rows = queries.select_sites(connection, merchant_id=merchant_id, most=MOST)
        return [SiteSheet(**row, skus=tuple(skus.get(row["site_id"], ()))) async for row in rows]


def read_id(text: str) -> int:
    """Read an id that somebody typed; what cannot be one is 0, which nothing has."""
    is_id = text.isascii() and text.isdigit() and len(text) <= len(str(MAX_ID)) and int(text) <= MAX_ID
    return int(text) if is_id else 0


async def _read_sheet(connection: PlainConnection, merchant_id: int, row: Mapping[str, Any]) -> PaymentSheet:
    own = {"merchant_id": merchant_id, "transaction_id": row["transaction_id"], "most": MOST}
    deliveries = await select_payment_deliveries(connection, merchant_id=merchant_id, payment_id=row["payment_id"])
    timeline = await select_timeline(connection, merchant_id=merchant_id, transaction_id=row["transaction_id"])
    return PaymentSheet(
        line=_read_line(row),
        parent_id=row["basis_id"],
        given_reason=row["given_reason"] or "",
        excess=Money(row["excess_minor"], Currency.of(row["currency"])) if row["excess_minor"] else None,
        site_id=row["site_id"],
        site_name=row["site_name"],
        sku_name=row["sku_name"],
        descriptor=row["descriptor"],
        consumer_id=row["consumer_id"],
        consumer=json.loads(row["consumer"]),
        source=json.loads(row["source"]),
        initiator=row["initiator"],
        reason=row["reason"],
        request_id=row["request_id"],
        ipn_url=row["ipn_url"],
        redirect_url=row["redirect_url"],
        metadata=row["metadata"],
        attempts=tuple([AttemptLine(**one) async for one in queries.select_attempts(connection, **own)]),
        authentications=tuple(
            [AuthenticationLine(**one) async for one in queries.select_authentications(connection, **own)]
        ),
        deliveries=tuple(one for one in deliveries if one.transaction_id == row["transaction_id"]),
        timeline=timeline.entries if timeline else (),
    )


def _begin_of(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _read_line(row: Mapping[str, Any]) -> PaymentLine:
    step = DisputeStep(row["dispute_step"]) if row["dispute_step"] else None
    name = name_transaction(Mode(row["mode"]), Status(row["status"]), step)
    return PaymentLine(
        payment_id=row["payment_id"],
        transaction_id=row["transaction_id"],
        created_at=row["created_at"],
        begun_at=row["begun_at"],
        settled_at=row["settled_at"],
        mode=name.mode,
        status=name.status,
        code=get_code(row["code"]) if row["code"] else None,
        money=Money(row["amount_minor"], Currency.of(row["currency"])),
        brand=row["brand"],
        card_number=row["card_number"],
        email=row["email"],
        title=row["title"],
    )
