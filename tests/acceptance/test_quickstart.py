"""The public quickstart, command by command, against a gateway as a newcomer starts it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from tests.support.gateways import RunningGateway

SCRIPT = Path(__file__).with_name("quickstart.sh")

#: What the quickstart prints of a payment and its card, key by key.
PAYMENT_KEYS = {
    "code", "description", "action", "mode", "status", "amount", "currency", "orderId", "transactionId", "source",
}  # fmt: skip
SOURCE_KEYS = {"method", "number", "brand", "paymentAccountId"}


def run(gateway: RunningGateway, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Run one command of the quickstart with curl; return the status and the answer."""
    environment = {**os.environ, "HOST": gateway.url, "KEY": gateway.demo["apiKey"]}
    ran = subprocess.run([SCRIPT, *arguments], env=environment, capture_output=True, text=True, timeout=30, check=False)
    body, _, status = ran.stdout.rstrip().rpartition("\n")
    return int(status), json.loads(body)


def check_approved(status: int, answer: dict[str, Any]) -> None:
    """Check an approved payment against the shape that the quickstart prints."""
    assert "payment" in answer, answer
    payment = answer["payment"]
    assert status == 201
    assert payment.keys() >= PAYMENT_KEYS
    assert payment["source"].keys() >= SOURCE_KEYS
    assert {
        name: payment[name] for name in ("code", "description", "action", "mode", "status", "amount", "currency")
    } == {
        "code": "0",
        "description": "APPROVED",
        "action": "charge",
        "mode": "sale",
        "status": "success",
        "amount": 19.99,
        "currency": "USD",
    }
    assert re.fullmatch(r"[0-9]+", payment["orderId"])
    assert re.fullmatch(r"[0-9]+", payment["transactionId"])
    assert (payment["source"]["method"], payment["source"]["brand"]) == ("card", "visa")
    assert payment["source"]["number"] == "402400****6348"
    assert str(UUID(payment["source"]["paymentAccountId"])) == payment["source"]["paymentAccountId"]
    assert answer["consumer"]["externalId"] == "user-00123"
    assert answer["consumer"]["email"] == "[email protected]"
    assert answer["metadata"] == {}


def test_a_card_becomes_a_token_and_the_token_pays(gateway: RunningGateway) -> None:
    """Flow A: the browser's command gives a short-lived token, the server's command charges it once."""
    status, token = run(gateway, "tokenize")

    assert (status, sorted(token)) == (201, ["expireAt", "token"])
    assert str(UUID(token["token"])) == token["token"]
    assert 0 < token["expireAt"] - time.time() <= 15 * 60 + 5

    check_approved(*run(gateway, "pay-by-token", token["token"]))
    status, refused = run(gateway, "pay-by-token", token["token"])
    assert (status, list(refused["errors"])) == (400, ["paymentSource.token"])


def test_a_card_pays_directly(gateway: RunningGateway) -> None:
    """Flow B: the card in the request is charged."""
    check_approved(*run(gateway, "pay-by-card"))


def test_what_the_first_payment_gave_pays_again(gateway: RunningGateway) -> None:
    """Later payments need no card number: the account of the first answer pays, and so does its consumer."""
    _, first = run(gateway, "pay-by-card")
    account_id, consumer_id = first["payment"]["source"]["paymentAccountId"], first["consumer"]["id"]

    by_account = run(gateway, "pay-by-account", account_id, consumer_id)
    by_consumer = run(gateway, "pay-by-consumer", consumer_id)

    for status, answer in (by_account, by_consumer):
        check_approved(status, answer)
        assert answer["payment"]["source"]["paymentAccountId"] == account_id
        assert answer["consumer"]["id"] == consumer_id
        assert answer["subscription"].keys() >= {"id", "status", "renewalDate"}
        assert answer["subscription"]["status"] == "active"
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", answer["subscription"]["renewalDate"])
