"""`GET /payment/{transactionId}/timeline`: the events of a payment."""

from __future__ import annotations

from tollhouse.api.reading.access import RequestAuthenticator
from tollhouse.api.reading.ids import NO_TRANSACTION, read_id
from tollhouse.history.build_timeline import HistoryEntry
from tollhouse.history.timeline import select_timeline
from tollhouse.http.requests import Request
from tollhouse.http.responses import Response
from tollhouse.http.routes import Calls, call
from tollhouse.kernel.errors import NotFound
from tollhouse.storage.database import Database
from tollhouse.wire.answers import TimelineAnswer, TimelineEntry
from tollhouse.wire.render import render, render_instant


class TimelineCalls(Calls):
    """The timeline of a payment."""

    def __init__(self, database: Database, authenticator: RequestAuthenticator) -> None:
        self._database = database
        self._authenticator = authenticator

    @call("GET /payment/{transactionId}/timeline", "Get the timeline of a payment", answer=TimelineAnswer)
    async def get_timeline(self, request: Request) -> Response:
        """Return all events of a transaction: the request, rules, 3-D Secure, acquirer, ledger, callbacks.

        It contains no card number, security code or authentication value.
        """
        merchant = await self._authenticator.access(request)
        number = read_id(request.path_parameters["transactionId"], NO_TRANSACTION)
        async with self._database.acquire() as connection:
            timeline = await select_timeline(connection, merchant_id=merchant.merchant_id, transaction_id=number)
        if timeline is None:
            raise NotFound(NO_TRANSACTION)
        answer = TimelineAnswer(
            orderId=str(timeline.payment_id),
            transactionId=str(timeline.transaction_id),
            data=[build_entry(entry) for entry in timeline.entries],
        )
        return Response(render(answer))


def build_entry(entry: HistoryEntry) -> TimelineEntry:
    """Build the model of the response."""
    return TimelineEntry(at=render_instant(entry.at), kind=entry.kind.word, text=entry.text, facts=dict(entry.facts))
