"""The steps of a dispute, and the money that one of them moves."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct


class DisputeStep(StrEnum):
    """The step of a dispute that a chargeback records."""

    RETRIEVAL = "retrieval"  # the issuer asks for information
    ANSWER = "answer"  # the merchant's answer was sent
    FIRST = "first"  # the issuer takes the money back
    SECOND = "second"  # the issuer takes the money again, after the merchant disputed the first
    COLLECTION = "collection"  # the case is handed to a collecting agency
    WON = "won"  # the money comes back to the merchant


class Dispute(Struct, frozen=True):
    """The dispute of a chargeback: its step and the money that it moved.

    `moved_minor` is less than the amount if the issuer already has part of it, and 0 for a notice. `excess_minor` is
    the part of it beyond the amount that was left of the payment.
    """

    step: DisputeStep
    moved_minor: int
    excess_minor: int


def columns_of_dispute(dispute: Dispute) -> dict[str, Any]:
    """Return the columns of an operation that only a chargeback has."""
    return {"dispute_step": dispute.step, "moved_minor": dispute.moved_minor, "excess_minor": dispute.excess_minor}


def read_dispute(row: Mapping[str, Any]) -> Dispute | None:
    """Read a dispute from a row; None if the operation is not a chargeback."""
    if row["dispute_step"] is None:
        return None
    return Dispute(DisputeStep(row["dispute_step"]), row["moved_minor"], row["excess_minor"])
