"""Requested faults of the next messages, kept in memory only.

A fault belongs to a merchant and affects that merchant's messages, with one card or any, of one amount or any.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tollhouse.simulator.messages import SimulatorMessage, decode, encode
from tollhouse.simulator.model import DeliveryMode

#: The maximum of pending faults of a merchant.
MAX_FAULTS = 100

DELIVERIES = {
    "latency": DeliveryMode.SLOW,
    "dropBefore": DeliveryMode.DROPPED,
    "dropAfter": DeliveryMode.LOST,
    "duplicate": DeliveryMode.TWICE,
}


@dataclass(frozen=True, slots=True)
class RequestedFault:
    """A fault of the next `calls` matching messages. `seconds` is the delay of a slow response."""

    acceptor: str
    delivery: DeliveryMode
    calls: int
    seconds: float
    masked_number: str | None
    amount_minor: int | None
    currency: str | None


@dataclass(frozen=True, slots=True)
class MatchedMessage:
    """The parts of a message that faults match."""

    acceptor: str
    masked_number: str | None
    amount_minor: int
    currency: str


class _FaultAmount(SimulatorMessage):
    minor: Annotated[int, Meta(ge=0)]
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")]


class _Ask(SimulatorMessage):
    acceptor: Annotated[str, Meta(min_length=1, max_length=36)]
    fault: Literal["latency", "dropBefore", "dropAfter", "duplicate"]
    calls: Annotated[int, Meta(ge=1, le=1000)] = 1
    seconds: Annotated[float, Meta(ge=0, le=60)] = 5.0
    number: Annotated[str, Meta(max_length=19)] | None = None
    amount: _FaultAmount | None = None


class _FaultScope(SimulatorMessage):
    acceptor: Annotated[str, Meta(min_length=1, max_length=36)]


_ask = msgspec.json.Decoder(_Ask)
_about = msgspec.json.Decoder(_FaultScope)


class Faults:
    """The pending faults, oldest first."""

    def __init__(self) -> None:
        self._waiting: list[RequestedFault] = []

    def strike(self, passing: MatchedMessage) -> RequestedFault | None:
        """Return the fault of a message and count it, or return None."""
        for index, fault in enumerate(self._waiting):
            if _fits(fault, passing):
                left = replace(fault, calls=fault.calls - 1)
                self._waiting[index : index + 1] = [left] if left.calls else []
                return fault
        return None

    async def add(self, body: bytes) -> bytes:
        """Add a fault, and return all pending ones of the merchant; one too many is `isFull`. Raises Invalid."""
        wanted: _Ask = decode(_ask, body)
        if sum(fault.acceptor == wanted.acceptor for fault in self._waiting) >= MAX_FAULTS:
            return encode({"faults": [], "isFull": True})
        amount = wanted.amount
        self._waiting.append(
            RequestedFault(
                acceptor=wanted.acceptor,
                delivery=DELIVERIES[wanted.fault],
                calls=wanted.calls,
                seconds=wanted.seconds,
                masked_number=wanted.number,
                amount_minor=amount.minor if amount else None,
                currency=amount.currency if amount else None,
            )
        )
        return self._show(wanted.acceptor)

    async def list(self, body: bytes) -> bytes:
        """Return the pending faults of a merchant."""
        wanted: _FaultScope = decode(_about, body)
        return self._show(wanted.acceptor)

    async def clear(self, body: bytes) -> bytes:
        """Delete the pending faults of a merchant."""
        wanted: _FaultScope = decode(_about, body)
        self._waiting = [fault for fault in self._waiting if fault.acceptor != wanted.acceptor]
        return self._show(wanted.acceptor)

    def _show(self, acceptor: str) -> bytes:
        return encode({"faults": _describe(fault for fault in self._waiting if fault.acceptor == acceptor)})


def _fits(fault: RequestedFault, passing: MatchedMessage) -> bool:
    return (
        fault.acceptor == passing.acceptor
        and fault.masked_number in {None, passing.masked_number}
        and fault.amount_minor in {None, passing.amount_minor}
        and fault.currency in {None, passing.currency}
    )


def _describe(faults: Iterable[RequestedFault]) -> list[dict[str, Any]]:
    names = {delivery: name for name, delivery in DELIVERIES.items()}
    return [
        {
            "fault": names[fault.delivery],
            "calls": fault.calls,
            "seconds": fault.seconds,
            "number": fault.masked_number,
            "amount": {"minor": fault.amount_minor, "currency": fault.currency} if fault.currency else None,
        }
        for fault in faults
    ]
