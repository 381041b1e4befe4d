"""The description of this API: the words and examples of its OpenAPI document that do not stand with its routes.

A test holds each example against its model.
"""

from __future__ import annotations

import json
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any

from tollhouse import __version__
from tollhouse.http.openapi import ApiDescription, CallbackOperation
from tollhouse.wire.answers import CardEvent, PaymentEvent, ProblemAnswer, SubscriptionEvent


def examples_of(model_name: str) -> dict[str, Any]:
    """Return the examples of a model by their titles, the plainest first; none where there are none."""
    examples: dict[str, Any] = all_examples().get(model_name, {})
    return examples


@cache
def all_examples() -> dict[str, dict[str, Any]]:
    """Return every example by model and title; amounts are decimals."""
    text = files(__package__).joinpath("examples.json").read_text(encoding="utf-8")
    content: dict[str, dict[str, Any]] = json.loads(text, parse_float=Decimal)
    return content


TOKENS = ("Tokens", "Card data go from the browser straight to the gateway, and come back as a token.")

#: The parts of the API by the first step of their paths, in the order in which they are read.
GROUPS = {
    "tokenize": TOKENS,
    "tokenizeWithPaymentAccountId": TOKENS,
    "payment": ("Payments", "Charging a card, and asking what became of it."),
    "paymentPage": ("Payment pages", "A page of the gateway takes the card, so that yours never sees one."),
    "paymentAccount": ("Stored cards", "Letting a stored card be paid with, or no more."),
    "subscription": ("Subscriptions", "What is charged again and again, and how that ends."),
    "chargeback": ("Charge-backs", "What issuers took back, and how it is paid again."),
    "consumer": ("Consumers", "Who pays, how far you trust them, and their cards."),
    "site": ("Sites", "Where you sell."),
    "sku": ("Products", "What you sell, under names that payments may use in the place of prices."),
    "transaction": ("Callbacks", "What was posted to you, and once more."),
    "order": ("Callbacks", "What was posted to you, and once more."),
    "feed": ("Feed", "Every transaction, newest first."),
    "events": ("Events", "Everything that became final, in order, to be read again."),
    "epayment": ("For older clients", "What the public WooCommerce plugin asks before it shows a checkout."),
    "codes": ("Payment codes", "What `payment.code` says."),
    "currency-exchange-rate": ("Exchange rates", "What an amount is in US dollars."),
    "antifraud": ("Phones", "Proving that a phone is at hand: a code is sent to it and typed in."),
    "ips": ("Addresses", "Where callbacks come from."),
    "testPaymentData": ("Test cards", "Cards that obey you. In stage only."),
    "stage": ("Stage", "Standing in for what only the world and time can do. In stage only."),
}

PATH_PARAMETERS = {
    "transactionId": {"description": "`payment.transactionId` of an earlier answer.", "example": "10000042"},
    "subscriptionId": {"description": "`subscription.id` of an answer.", "example": "50000001"},
    "chargebackId": {"description": "`payment.transactionId` of a charge-back.", "example": "10000043"},
    "phone": {"description": "A phone number with its country code.", "example": "+15005550006"},
    "channel": {"description": "One of those that the phone can be reached on.", "example": "sms"},
    "code": {"description": "What the person typed.", "example": "123456"},
    "paymentAccountId": {
        "description": "`paymentAccountId` of a stored card.",
        "example": "ae853c41-2d85-4c8a-9a61-3a5daeea311d",
    },
    "consumerId": {"description": "`consumer.id` of an answer.", "example": "c0n5q8w2x7z4r6t9v1b3d5f8h"},
    "siteId": {"description": "`id` of a site.", "example": "1028000000000042"},
    "name": {"description": "`name` of a product.", "example": "SHOP_EXAMPLE_USD"},
    "orderId": {"description": "`payment.orderId` of an earlier answer.", "example": "100000042"},
    "iso": {"description": "Three letters of ISO 4217.", "example": "EUR"},
    "testDataId": {"description": "`id` of an earlier answer.", "example": "1028000000000042"},
}

#: What a callback says besides its body.
CALLBACK_HEADERS = {
    "X-Signature": "SHA-256 of IPN secret, id and status of transaction or subscription, in lower-case hex.",
    "webhook-id": "Names the event; the same at every attempt.",
    "webhook-timestamp": "Unix seconds of this attempt.",
    "webhook-signature": "`v1,` and the HMAC of id, time and body (Standard Webhooks).",
    "webhook-sequence": "Counts your events from 1 without a gap.",
    "X-Request-ID": "Of the request that led to the event.",
}

API = ApiDescription(
    title="Tollhouse",
    version=__version__,
    description="Server-to-server card payments.",
    groups=GROUPS,
    path_parameters=PATH_PARAMETERS,
    callback_headers=CALLBACK_HEADERS,
    callbacks={
        "payment": CallbackOperation(PaymentEvent, "receive_ipn", "A payment became final"),
        "subscription": CallbackOperation(
            SubscriptionEvent,
            "receive_subscription_ipn",
            "A subscription has ended, will end at a date, or was recovered",
        ),
        "card": CallbackOperation(CardEvent, "receive_card_ipn", "A subscription's card expires soon"),
    },
    problem=ProblemAnswer,
    examples_of=examples_of,
)
