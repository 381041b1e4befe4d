"""The public names of transactions: `action`, `mode` and `status` on the wire.

Paths, code and database use the standard terms (capture, refund, void, chargeback). The public names are here, in one
table, for responses, callbacks, the feed, the timeline and the portal. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

from tollhouse.payments.dispute_steps import DisputeStep
from tollhouse.payments.model import Mode, Status

PublicAction = Literal["charge", "credit", "chargeback"]
ChargebackMode = Literal[
    "chargebackRetrieval", "chargebackRepresent", "chargebackFirst", "chargebackSecond", "chargebackCollector"
]
PublicMode = Literal[
    "sale", "auth", "settle", "refund", "void",
    "chargebackRetrieval", "chargebackRepresent", "chargebackFirst", "chargebackSecond", "chargebackCollector",
]  # fmt: skip
ChargebackStatus = Literal["retrieved", "represented", "chargeback", "chargeback_2nd", "send_ca"]
PublicStatus = Literal[
    "success", "pending", "fail", "confirmed", "retrieved", "represented", "chargeback", "chargeback_2nd", "send_ca"
]

CHARGEBACK_MODES: tuple[ChargebackMode, ...] = get_args(ChargebackMode)

#: The kind of the event about a dispute that was won, which has no public name.
DISPUTE_WON = "dispute.won"


class PublicName(NamedTuple):
    """The action, mode and status of a transaction on the wire."""

    action: PublicAction
    mode: PublicMode
    status: PublicStatus


OPERATIONS: Mapping[Mode, tuple[PublicAction, PublicMode]] = {
    Mode.SALE: ("charge", "sale"),
    Mode.AUTH: ("charge", "auth"),
    Mode.CAPTURE: ("charge", "settle"),
    Mode.CREDIT: ("credit", "refund"),
    Mode.VOID: ("credit", "void"),
}
#: A chargeback has the status of its step, never `success`, which clients understand as money received.
DISPUTES: Mapping[DisputeStep, tuple[ChargebackMode, ChargebackStatus]] = {
    DisputeStep.RETRIEVAL: ("chargebackRetrieval", "retrieved"),
    DisputeStep.ANSWER: ("chargebackRepresent", "represented"),
    DisputeStep.FIRST: ("chargebackFirst", "chargeback"),
    DisputeStep.SECOND: ("chargebackSecond", "chargeback_2nd"),
    DisputeStep.COLLECTION: ("chargebackCollector", "send_ca"),
    DisputeStep.WON: ("chargebackRepresent", "represented"),
}
#: The step of a dispute that a public mode means in a request.
STEPS: Mapping[str, DisputeStep] = {
    DISPUTES[step][0]: step for step in reversed(DisputeStep) if step is not DisputeStep.WON
}


def name_transaction(mode: Mode, status: Status, step: DisputeStep | None = None) -> PublicName:
    """Return the public name of a transaction; `step` is that of a chargeback."""
    if step is not None:
        return PublicName("chargeback", *DISPUTES[step])
    return PublicName(*OPERATIONS[mode], status.value)


def name_event(mode: Mode, step: DisputeStep | None = None) -> str:
    """Return the kind of the event about a transaction: its public mode, or `dispute.won`."""
    return DISPUTE_WON if step is DisputeStep.WON else name_transaction(mode, Status.SUCCESS, step).mode


class TransactionSelection(NamedTuple):
    """The transactions that a public mode or status means; None does not filter."""

    mode: Mode | None = None
    status: Status | None = None
    steps: frozenset[DisputeStep] | None = None


def find_mode(mode: str | None) -> TransactionSelection:
    """Return the transactions that a public mode means."""
    steps = frozenset(step for step, names in DISPUTES.items() if names[0] == mode)
    ours = next((ours for ours, names in OPERATIONS.items() if names[1] == mode), None)
    return TransactionSelection(Mode.CHARGEBACK, steps=steps) if steps else TransactionSelection(ours)


def find_status(status: str | None) -> TransactionSelection:
    """Return the transactions that a public status means: by step for chargebacks, by status for all others."""
    steps = frozenset(step for step, names in DISPUTES.items() if names[1] == status)
    return (
        TransactionSelection(Mode.CHARGEBACK, steps=steps)
        if steps
        else TransactionSelection(status=Status(status) if status else None)
    )
