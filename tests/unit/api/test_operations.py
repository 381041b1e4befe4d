"""What a request for an operation may say."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from tollhouse.api.payment.operations import CaptureRequest, CreditRequest, VoidRequest


@pytest.mark.parametrize("model", [CaptureRequest, VoidRequest, CreditRequest])
def test_emulated_codes_are_for_stage(model: Any) -> None:
    """In live no operation ends by request."""
    body = {"reason": "Returned", "emulateCode": "0000"}
    assert model.model_validate(body).emulateCode == "0000"
    with pytest.raises(ValidationError):
        model.model_validate(body, context={"is_live": True})


@pytest.mark.parametrize(("sent", "read"), [(5, "5"), ("5.00", "5.00"), (Decimal("0.001"), "0.001")])
def test_amounts_as_clients_send_them(sent: Any, read: str) -> None:
    """An amount is a number or a text of one; a blank is neither, nor an amount left out."""
    assert CaptureRequest.model_validate({"amount": sent}).amount == Decimal(read)
    with pytest.raises(ValidationError):
        CaptureRequest.model_validate({"amount": ""})
