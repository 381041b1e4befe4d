"""The steps of a dispute, and what one of them moved."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct


class DisputeStep(StrEnum):
    """Which step of a dispute a charge-back is."""

    RETRIEVAL = "retrieval"  # the issuer asks for information
    ANSWER = "answer"  # the merchant's answer was sent
    FIRST = "first"  # the issuer takes the money back
    SECOND = "second"  # the issuer takes it back once more, after the merchant has disputed the first
    COLLECTION = "collection"  # the case is handed to a collecting agency
    WON = "won"  # the money comes back to the merchant


class Dispute(Struct, frozen=True):
    """What a charge-back has besides what every operation has: its step, and the money that it moved.

    `moved_minor` is less than the amount where the issuer has a part of that already, and 0 for a notice.
    `excess_minor` is how much of it is beyond what was left of the payment.
    """

    step: DisputeStep
    moved_minor: int
    excess_minor: int


def columns_of_dispute(dispute: Dispute) -> dict[str, Any]:
    """Return the columns of an operation that only charge-backs have."""
    return {
        "dispute_step": dispute.step,
        "moved_minor": dispute.moved_minor,
        "excess_minor": dispute.excess_minor,
    }


def read_dispute(row: Mapping[str, Any]) -> Dispute | None:
    """Read the same from a row; None where the operation is no charge-back."""
    if row["dispute_step"] is None:
        return None
    return Dispute(DisputeStep(row["dispute_step"]), row["moved_minor"], row["excess_minor"])
