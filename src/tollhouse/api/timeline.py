"""`GET /payment/{transactionId}/timeline`: explain this payment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from litestar import Response, get
from litestar.params import FromPath

from tollhouse.api.access import AnyRequest, RequestAuthenticator
from tollhouse.api.ids import read_number
from tollhouse.api.openapi import describe
from tollhouse.history.model import Entry
from tollhouse.history.timeline import select_timeline
from tollhouse.kernel.errors import NotFound
from tollhouse.wire.render import render, render_instant
from tollhouse.wire.timeline import TimelineAnswer, TimelineEntry

if TYPE_CHECKING:
    from litestar.handlers import HTTPRouteHandler

    from tollhouse.payments.tools import Tools

MISSING = "There is no such transaction."


def timeline_handlers(tools: Tools, gate: RequestAuthenticator) -> list[HTTPRouteHandler]:
    """Return the handlers."""

    @get(
        "/payment/{transaction_id:str}/timeline",
        opt=describe("Explain a payment", answer=TimelineAnswer, may_miss=True),
    )
    async def get_timeline(request: AnyRequest, transaction_id: FromPath[str]) -> Response[bytes]:
        """Return everything that happened to a transaction: the request, rules, 3-D Secure, acquirer, books, callbacks.

        No card number, security code or proof of an authentication is in it.
        """
        merchant = await gate.access(request)
        number = read_number(transaction_id, MISSING)
        async with tools.database.acquire() as connection:
            timeline = await select_timeline(connection, merchant_id=merchant.merchant_id, transaction_id=number)
        if timeline is None:
            raise NotFound(MISSING)
        answer = TimelineAnswer(
            orderId=str(timeline.payment_id),
            transactionId=str(timeline.transaction_id),
            data=[build_entry(entry) for entry in timeline.entries],
        )
        return Response(render(answer), media_type="application/json")

    return [get_timeline]


def build_entry(entry: Entry) -> TimelineEntry:
    """Say it in the words of the wire."""
    return TimelineEntry(at=render_instant(entry.at), kind=entry.kind.word, text=entry.text, facts=dict(entry.facts))
