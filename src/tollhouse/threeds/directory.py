"""The client of the Directory Server.

Every failure of the server or the network gives a result: "could not be performed".
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections.abc import Sequence
from uuid import uuid4

import structlog

from tollhouse.kernel.card import CardNumber
from tollhouse.kernel.clock import boot_seconds
from tollhouse.threeds.elements import VERSIONS, ProtocolError
from tollhouse.threeds.messages import CurrencyUnknown, build_areq, build_preq, parse_ares, parse_pres
from tollhouse.threeds.model import AuthenticationRequest, AuthenticationResponse, CardRange, Requestor, TransStatus
from tollhouse.transport.model import NoResponse, RequestNotSent, Transport

AUTHENTICATE_PATH = "/directory"
RANGES_PATH = "/directory/ranges"

#: Lifetime of card ranges, and the pause before a Directory Server that did not return them is asked again.
RANGES_CACHE_TIMEOUT_SECONDS = 3600.0
RANGES_RETRY_INTERVAL_SECONDS = 10.0
RANGES_TIMEOUT_SECONDS = 3.0

#: transStatusReason 22: a technical failure on the issuer's side.
TECHNICAL = "22"

log = structlog.get_logger()


class DirectoryClient:
    """A Directory Server behind a transport. `timeout_seconds` limits an AReq.

    It must not exceed the margin after which the resolver handles an attempt
    (`payments.dependencies.PaymentTimeouts.margin`).
    """

    def __init__(
        self, transport: Transport, *, requestor: Requestor | None = None, timeout_seconds: float = 6.0
    ) -> None:
        self.timeout_seconds = timeout_seconds
        self._transport = transport
        self._requestor = requestor or Requestor()
        self._ranges: Sequence[CardRange] = ()
        self._believed_until = 0.0
        self._reading = asyncio.Lock()

    @property
    def max_seconds(self) -> float:
        """The longest time of an authentication: loading the card ranges, and the AReq."""
        return RANGES_TIMEOUT_SECONDS + self.timeout_seconds

    async def find_range(self, number: CardNumber) -> CardRange:
        """Return the range of a card. A card in no range gets our newest version and no 3DS Method."""
        ranges = await self._read_ranges()
        value = int(number.reveal())
        index = bisect_right(ranges, value, key=lambda card_range: card_range.first)
        if index and value <= ranges[index - 1].last:
            return ranges[index - 1]
        return CardRange(first=0, last=0, version=VERSIONS[-1], method_url=None)

    async def authenticate(self, question: AuthenticationRequest) -> AuthenticationResponse:
        """Request an authentication. Never raises for failures of the Directory Server or the network."""
        try:
            areq = build_areq(question, self._requestor)
            async with asyncio.timeout(self.timeout_seconds):
                body = await self._transport.post(
                    AUTHENTICATE_PATH, areq, timeout_seconds=self.timeout_seconds, send_before=question.send_before
                )
            answer = parse_ares(body, question)
        except (RequestNotSent, NoResponse, TimeoutError, ProtocolError, CurrencyUnknown) as error:
            log.warning(
                "authentication.failed",
                cause=_describe(error),
                three_ds_server_trans_id=str(question.three_ds_server_trans_id),
            )
            return AuthenticationResponse(TransStatus.UNAVAILABLE, TECHNICAL)
        log.info(
            "authentication.answered",
            status=answer.status,
            three_ds_server_trans_id=str(question.three_ds_server_trans_id),
        )
        return answer

    async def _read_ranges(self) -> Sequence[CardRange]:
        """Return the card ranges, loading them if they are old. Keep the known ones if loading fails."""
        if time.monotonic() >= self._believed_until:
            async with self._reading:
                if time.monotonic() >= self._believed_until:
                    await self._fetch_ranges()
        return self._ranges

    async def _fetch_ranges(self) -> None:
        trans_id = uuid4()
        try:
            async with asyncio.timeout(RANGES_TIMEOUT_SECONDS):
                body = await self._transport.post(
                    RANGES_PATH,
                    build_preq(three_ds_server_trans_id=trans_id),
                    timeout_seconds=RANGES_TIMEOUT_SECONDS,
                    send_before=boot_seconds() + RANGES_TIMEOUT_SECONDS,
                    is_repeatable=True,
                )
            self._ranges = parse_pres(body, three_ds_server_trans_id=trans_id)
        except (RequestNotSent, NoResponse, TimeoutError, ProtocolError) as error:
            log.warning("card_ranges.load_failed", cause=_describe(error))
            self._believed_until = time.monotonic() + RANGES_RETRY_INTERVAL_SECONDS
        else:
            self._believed_until = time.monotonic() + RANGES_CACHE_TIMEOUT_SECONDS


def _describe(error: Exception) -> str:
    """Describe a failure for the log. A protocol error names elements only; others are named by their type."""
    return str(error) if isinstance(error, ProtocolError) else type(error.__cause__ or error).__name__
