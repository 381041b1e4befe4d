"""Build and parse the simulator's messages about disputes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec

from tollhouse.acquirers.model import AcquirerDispute, DisputeQuery, Unknown
from tollhouse.kernel.errors import UNREADABLE
from tollhouse.kernel.money import Currency, Money

MAX_AT_A_TIME = 100


class _DisputeAmount(msgspec.Struct):
    minor: Annotated[int, msgspec.Meta(gt=0)]
    currency: str


class _Dispute(msgspec.Struct, rename="camel"):
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    acceptor: str
    reference: str
    amount: _DisputeAmount
    due_at: Annotated[datetime, msgspec.Meta(tz=True)]
    reason: str | None = None


class _DisputePage(msgspec.Struct):
    disputes: Annotated[list[_Dispute], msgspec.Meta(max_length=MAX_AT_A_TIME)]


class _Acknowledged(msgspec.Struct):
    ids: list[str]


_page = msgspec.json.Decoder(_DisputePage)
_acknowledged = msgspec.json.Decoder(_Acknowledged)
_encode = msgspec.json.Encoder().encode


def encode_query(query: DisputeQuery) -> bytes:
    """Build the query for a page."""
    return _encode(
        {
            "until": query.until,
            "acceptor": query.acceptor,
            "ahead": [{"acceptor": acceptor, "until": until} for acceptor, until in query.ahead.items()],
            "after": query.after,
        }
    )


def read_page(body: bytes) -> tuple[AcquirerDispute, ...] | Unknown:
    """Parse a page, all of it or nothing."""
    try:
        return tuple(_build(told) for told in _page.decode(body).disputes)
    except (*UNREADABLE, KeyError):
        return Unknown("answer not understood")


def encode_ids(dispute_ids: Sequence[str]) -> bytes:
    """Build the acknowledgment."""
    return _encode({"ids": list(dispute_ids)})


def is_acknowledged(body: bytes, dispute_ids: Sequence[str]) -> bool:
    """Return whether all of these disputes are acknowledged."""
    try:
        return set(dispute_ids) <= set(_acknowledged.decode(body).ids)
    except UNREADABLE:
        return False


def _build(told: _Dispute) -> AcquirerDispute:
    """Build a dispute. Raises KeyError for an unknown currency."""
    fields: dict[str, Any] = {
        "dispute_id": told.id,
        "acceptor": told.acceptor,
        "reference": told.reference,
        "money": Money(told.amount.minor, Currency.of(told.amount.currency)),
        "reason": told.reason,
        "due_at": told.due_at,
    }
    return AcquirerDispute(**fields)
