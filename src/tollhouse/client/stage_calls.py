"""Calls for test cards, which exist in stage only. They are built like those of `calls`."""

from __future__ import annotations

from collections.abc import Sequence

from tollhouse.client.answers import TestData, TestDataList
from tollhouse.client.calls import Amount, Part
from tollhouse.client.core import Call, exact, path_of


def create_test_data(
    *,
    kind: str,
    currency: str | None = None,
    balance: Amount | None = None,
    allowed_ips: Sequence[str] | None = None,
    emulate_3ds: bool | None = None,
    is_expired: bool | None = None,
    comment: str | None = None,
    request_id: str | None = None,
) -> Call[TestData]:
    """Create a test card of a brand, in stage. If there are `allowed_ips`, only consumers at those may pay with it."""
    body = {
        "type": kind,
        "currency": currency,
        "balance": None if balance is None else exact(balance),
        "allowedIps": allowed_ips,
    }
    more = {"emulate3ds": emulate_3ds, "expired": is_expired, "comment": comment}
    return Call("POST", "/testPaymentData", TestData, {**body, **more}, request_id=request_id)


def list_test_data(*, limit: int | None = None, kind: str | None = None) -> Call[TestDataList]:
    """List test cards."""
    return Call("GET", "/testPaymentData", TestDataList, query={"limit": limit, "type": kind})


def test_data(test_data_id: str | int) -> Call[TestData]:
    """Return a test card."""
    return Call("GET", path_of("/testPaymentData/{}", test_data_id), TestData)


def change_test_data(test_data_id: str | int, what: str, changes: Part | None = None) -> Call[TestData]:
    """Change a test card.

    `what` is `balance` or `allowedIps`, with a body, or `block`, `unblock`, `emulate3ds`, `notEmulate3ds` without.
    """
    method = "PUT" if what in {"balance", "allowedIps"} else "POST"
    return Call(method, path_of("/testPaymentData/{}/{}", test_data_id, what), TestData, changes or {})


def delete_test_data(test_data_id: str | int) -> Call[None]:
    """Delete a test card."""
    return Call("DELETE", path_of("/testPaymentData/{}", test_data_id), None)
