"""Authorizations and 3DS messages, for the tests of the simulator and of the connector to it."""

from __future__ import annotations

import base64
import itertools
import json
from math import inf
from typing import Any
from uuid import UUID, uuid4

from tollhouse.acquirers.model import AcquirerOperation, Authorization, Proof
from tollhouse.kernel.card import Card, CardNumber, Cvv, Expiry
from tollhouse.kernel.money import Currency, Money
from tollhouse.simulator.cards import published_cards

_numbers = itertools.count(1)


def number_of(name: str) -> str:
    """Return the number of a published card."""
    return published_cards()[name].number


def order(name: str = "visa", amount_minor: int = 1999, currency: str = "USD", **changes: Any) -> Authorization:
    """Build an authorization of a published card with a reference of its own."""
    defaults: dict[str, Any] = {
        "reference": f"test-{next(_numbers)}",
        "money": Money(amount_minor, Currency.of(currency)),
        "card": Card(CardNumber(number_of(name)), Expiry(12, 2025)),
        "cvv": Cvv("009"),
        "capture": True,
        "initiator": "customer",
        "reason": "one_click",
        "descriptor": "DEMO SHOP",
        "send_before": inf,
    }
    return Authorization(**(defaults | changes))


def operation(original: Authorization, amount_minor: int | None = None, **changes: Any) -> AcquirerOperation:
    """Build a capture, void or credit of an authorization, of all of it unless an amount is given."""
    minor = original.money.amount_minor if amount_minor is None else amount_minor
    defaults: dict[str, Any] = {
        "reference": f"test-{next(_numbers)}",
        "original_reference": original.reference,
        "money": Money(minor, original.money.currency),
        "send_before": inf,
    }
    return AcquirerOperation(**(defaults | changes))


def areq(name: str = "challenge", amount_minor: int = 1999, /, **changes: Any) -> dict[str, Any]:
    """Build an AReq for a published card. A change to None leaves an element out."""
    message = {
        "messageType": "AReq",
        "messageVersion": "2.2.0",
        "threeDSServerTransID": str(uuid4()),
        "threeDSServerURL": "http://127.0.0.1:9/results",
        "threeDSServerRefNumber": "3DS_TEST_0001",
        "threeDSRequestorID": "DEMO",
        "threeDSRequestorName": "Demo",
        "threeDSRequestorURL": "https://demo.example",
        "threeDSRequestorAuthenticationInd": "01",
        "acquirerBIN": "400000",
        "acquirerMerchantID": "DEMO1",
        "mcc": "5734",
        "merchantCountryCode": "840",
        "acctNumber": number_of(name),
        "cardExpiryDate": "2512",
        "deviceChannel": "02",
        "messageCategory": "01",
        "threeDSCompInd": "U",
        "notificationURL": "http://127.0.0.1:9/return",
        "purchaseAmount": str(amount_minor),
        "purchaseCurrency": "840",
        "purchaseExponent": "2",
        "purchaseDate": "20260102030405",
        "merchantName": "Demo Shop",
        "browserAcceptHeader": "text/html",
        "browserIP": "203.0.113.45",
        "browserJavascriptEnabled": True,
        "browserJavaEnabled": False,
        "browserLanguage": "en-US",
        "browserColorDepth": "24",
        "browserScreenHeight": "1080",
        "browserScreenWidth": "1920",
        "browserTZ": "-60",
        "browserUserAgent": "Mozilla/5.0",
    }
    return {element: value for element, value in (message | changes).items() if value is not None}


def encode(message: object) -> bytes:
    """Write a message as JSON."""
    return json.dumps(message).encode()


def proof_of(ares: dict[str, Any]) -> Proof:
    """Take the proof from an ARes or RReq."""
    return Proof(ares["eci"], ares["authenticationValue"], ares["dsTransID"], ares["messageVersion"])


def creq_of(ares: dict[str, Any]) -> dict[str, str]:
    """Build the CReq that answers an ARes of C."""
    return {
        "threeDSServerTransID": ares["threeDSServerTransID"],
        "acsTransID": ares["acsTransID"],
        "challengeWindowSize": "05",
        "messageType": "CReq",
        "messageVersion": ares["messageVersion"],
    }


def challenge_of(ares: dict[str, Any]) -> UUID:
    """Return the id of the challenge that an ARes opened."""
    return UUID(ares["acsTransID"])


def pack(message: object) -> str:
    """Write a message as base64url without padding, as forms carry it."""
    return base64.urlsafe_b64encode(encode(message)).rstrip(b"=").decode()
