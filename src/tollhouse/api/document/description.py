"""The description of this API: texts and examples of its OpenAPI document that do not belong to one route.

A test validates each example with its model.
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
    """Return the examples of a model by title, the simplest first."""
    examples: dict[str, Any] = all_examples().get(model_name, {})
    return examples


@cache
def all_examples() -> dict[str, dict[str, Any]]:
    """Return every example by model and title; amounts are decimals."""
    text = files(__package__).joinpath("examples.json").read_text(encoding="utf-8")
    content: dict[str, dict[str, Any]] = json.loads(text, parse_float=Decimal)
    return content


TOKENS = ("Tokens", "Send card data from the browser to the gateway, and get a token.")

#: The groups of the API by the first step of their paths, in reading order.
GROUPS = {
    "tokenize": TOKENS,
    "tokenizeWithPaymentAccountId": TOKENS,
    "payment": ("Payments", "Charge cards, and get payments."),
    "paymentPage": ("Payment pages", "Let consumers pay on a page of the gateway."),
    "paymentAccount": ("Stored cards", "List, enable and disable stored cards."),
    "subscription": ("Subscriptions", "Manage subscriptions."),
    "chargeback": ("Charge-backs", "Let consumers repay chargebacks."),
    "consumer": ("Consumers", "Manage consumers, their groups and their cards."),
    "site": ("Sites", "Manage your sites."),
    "sku": ("SKUs", "Manage SKUs, which payments can name in place of prices."),
    "transaction": ("Callbacks", "Get callbacks, and send them again."),
    "order": ("Callbacks", "Get callbacks, and send them again."),
    "feed": ("Feed", "List transactions, newest first."),
    "events": ("Events", "List events in order."),
    "epayment": ("For older clients", "Calls of the public WooCommerce plugin."),
    "codes": ("Payment codes", "The table of payment codes."),
    "currency-exchange-rate": ("Exchange rates", "Get exchange rates to US dollars."),
    "antifraud": ("Phones", "Verify a phone by a code."),
    "ips": ("Addresses", "List the source addresses of callbacks."),
    "testPaymentData": ("Test cards", "Create and control test cards. Stage only."),
    "stage": ("Stage", "Control the clock, cardholders and issuers. Stage only."),
}

PATH_PARAMETERS = {
    "transactionId": {"description": "`payment.transactionId` of an earlier response.", "example": "10000042"},
    "subscriptionId": {"description": "`subscription.id` of a response.", "example": "50000001"},
    "chargebackId": {"description": "`payment.transactionId` of a chargeback.", "example": "10000043"},
    "phone": {"description": "A phone number with its country code.", "example": "+15005550006"},
    "channel": {"description": "A channel of the phone.", "example": "sms"},
    "code": {"description": "The code typed by the person.", "example": "123456"},
    "paymentAccountId": {
        "description": "`paymentAccountId` of a stored card.",
        "example": "ae853c41-2d85-4c8a-9a61-3a5daeea311d",
    },
    "consumerId": {"description": "`consumer.id` of a response.", "example": "c0n5q8w2x7z4r6t9v1b3d5f8h"},
    "siteId": {"description": "`id` of a site.", "example": "1028000000000042"},
    "name": {"description": "`name` of a SKU.", "example": "SHOP_EXAMPLE_USD"},
    "orderId": {"description": "`payment.orderId` of an earlier response.", "example": "100000042"},
    "iso": {"description": "Three letters of ISO 4217.", "example": "EUR"},
    "testDataId": {"description": "`id` of an earlier response.", "example": "1028000000000042"},
}

#: The headers of a callback.
CALLBACK_HEADERS = {
    "X-Signature": "SHA-256 of IPN secret, ID and status of the transaction or subscription, in lower-case hex.",
    "webhook-id": "The ID of the event, the same at every attempt.",
    "webhook-timestamp": "The time of this attempt, in Unix seconds.",
    "webhook-signature": "`v1,` and the HMAC of ID, time and body (Standard Webhooks).",
    "webhook-sequence": "The number of the event, from 1 without a gap.",
    "X-Request-ID": "The `X-Request-ID` of the request that led to the event.",
}

API = ApiDescription(
    title="Tollhouse",
    version=__version__,
    description="Server-to-server card payments.",
    groups=GROUPS,
    path_parameters=PATH_PARAMETERS,
    callback_headers=CALLBACK_HEADERS,
    callbacks={
        "payment": CallbackOperation(PaymentEvent, "receive_ipn", "A payment was finished"),
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
