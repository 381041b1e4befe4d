"""The OpenAPI 3.1 document, made from the handlers and their models, and a page to read it on.

A handler says with `describe` what it takes and gives; the rest (path, method, prose) is read off the handler itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from inspect import cleandoc
from typing import TYPE_CHECKING, Any

from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from tollhouse import __version__
from tollhouse.api.examples import examples_of
from tollhouse.wire.answers import CardEvent, PaymentEvent, ProblemAnswer, SubscriptionEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from litestar.routes import BaseRoute

_PARTING = re.compile(r"_([a-z])")

REF = "#/components/schemas/{model}"
OPERATION_OPT = "operation"
#: Of bodies; a model that is written otherwise says so in its `media_type`.
JSON = "application/json"

REFUSALS = {
    400: "A field is missing or faulty; all of them are named.",
    401: "The API key is missing or wrong.",
    403: "The merchant is disabled, or the caller's address is not on the key's list.",
    404: "There is no such thing.",
    409: "The same request is still running; repeat it later.",
    413: "The body is too large.",
    415: "The body is not application/json.",
    422: "The X-Request-ID was used before with another body.",
    429: "There were too many requests; repeat it later.",
    503: "The gateway cannot take the request now; repeat it later.",
}
EVENTS = (PaymentEvent, SubscriptionEvent, CardEvent)
RETRYING = frozenset({409, 429, 503})

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

REQUEST_ID_PARAMETER = {
    "name": "X-Request-ID",
    "in": "header",
    "description": "Makes a repetition safe: the same id and body get the first answer again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]{1,128}$"},
}
XML_HTTP_REQUEST_PARAMETER = {
    "name": "x-requested-with",
    "in": "header",
    "description": "Shows that a script of a page sent the request, which no form of another page can do.",
    "required": True,
    "schema": {"type": "string", "const": "XMLHttpRequest"},
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


@dataclass(frozen=True, slots=True)
class Operation:
    """What a handler takes and gives."""

    summary: str
    request: type[BaseModel] | None
    #: None: the answer has no body.
    answer: type[BaseModel] | None
    #: What may stand after the question mark.
    query: type[BaseModel] | None
    needs_key: bool
    needs_xml_http_request: bool
    takes_request_id: bool
    may_miss: bool
    #: Statuses of refusals that do not follow from the rest.
    refuses: tuple[int, ...]
    #: The form of a refusal.
    problem: type[BaseModel]

    @property
    def refusals(self) -> list[int]:
        """The statuses with which it may refuse."""
        # Callers without a key are limited by address, and so are those with a wrong one.
        statuses = {429, 503, *self.refuses}
        if self.needs_key:
            statuses |= {401, 403}
        if self.request:
            statuses |= {400, 413, 415}
        if self.query:
            statuses |= {400}
        if self.takes_request_id and self.needs_key:
            statuses |= {409, 422}
        if self.may_miss:
            statuses |= {404}
        return sorted(statuses)


def describe(
    summary: str,
    *,
    answer: type[BaseModel] | None,
    request: type[BaseModel] | None = None,
    query: type[BaseModel] | None = None,
    needs_key: bool = True,
    needs_xml_http_request: bool = False,
    takes_request_id: bool = False,
    may_miss: bool = False,
    refuses: Sequence[int] = (),
    problem: type[BaseModel] = ProblemAnswer,
) -> dict[str, Operation]:
    """Return the `opt` of a handler that belongs in the document."""
    return {
        OPERATION_OPT: Operation(
            summary,
            request,
            answer,
            query,
            needs_key,
            needs_xml_http_request,
            takes_request_id,
            may_miss,
            tuple(refuses),
            problem,
        )
    }


def build_document(routes: Sequence[BaseRoute], *, base_url: str) -> dict[str, Any]:
    """Build the document of every handler that was described."""
    described = [(wire_path(route), handler) for route, handler in _handlers(routes) if OPERATION_OPT in handler.opt]
    operations = [handler.opt[OPERATION_OPT] for _, handler in described]
    paths: dict[str, dict[str, Any]] = {}
    for path, handler in described:
        for method in sorted(handler.http_methods - {"OPTIONS", "HEAD"}):
            paths.setdefault(path, {})[method.lower()] = _build_operation(path, handler, handler.opt[OPERATION_OPT])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tollhouse",
            "version": __version__,
            "description": "Server-to-server card payments.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": base_url}],
        "tags": [{"name": name, "description": text} for name, text in _groups_of(paths)],
        "paths": paths,
        "webhooks": {
            "payment": {"post": _build_callback(PaymentEvent, "receive_ipn", "A payment became final")},
            "subscription": {
                "post": _build_callback(
                    SubscriptionEvent,
                    "receive_subscription_ipn",
                    "A subscription has ended, will end at a date, or was recovered",
                )
            },
            "card": {"post": _build_callback(CardEvent, "receive_card_ipn", "A subscription's card expires soon")},
        },
        "components": {
            "schemas": _build_schemas(operations),
            "securitySchemes": {"ApiKeyAuth": {"type": "apiKey", "in": "header", "name": "Authorization"}},
        },
    }


def _handlers(routes: Sequence[BaseRoute]) -> Iterable[tuple[HTTPRoute, HTTPRouteHandler]]:
    for route in routes:
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                yield route, handler


def wire_path(route: HTTPRoute) -> str:
    """Return a path with its parameters named as on the wire: `transactionId` for `transaction_id`."""
    return re.sub(r"\{\w+\}", lambda name: _PARTING.sub(lambda found: found[1].upper(), name[0]), route.path_format)


def _group_of(path: str) -> tuple[str, str]:
    step = path.split("/")[1]
    return GROUPS.get(step, (step.capitalize(), ""))


def _groups_of(paths: Iterable[str]) -> list[tuple[str, str]]:
    known = [_group_of(path) for path in paths]
    listed = dict.fromkeys(GROUPS.values())
    return [*(group for group in listed if group in known), *sorted(set(known) - set(listed))]


def _build_operation(path: str, handler: HTTPRouteHandler, operation: Operation) -> dict[str, Any]:
    content: dict[str, Any] = {
        "operationId": handler.handler_name,
        "summary": operation.summary,
        "tags": [_group_of(path)[0]],
        "description": cleandoc(handler.fn.__doc__ or ""),
        "parameters": _build_parameters(path, operation),
        "responses": _build_responses(operation, handler.status_code),
        "security": [{"ApiKeyAuth": []}] if operation.needs_key else [],
    }
    if operation.request is not None:
        content["requestBody"] = {"required": True, "content": _content_of(operation.request)}
    return content


def _content_of(model: type[BaseModel]) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": REF.format(model=model.__name__)}}
    if examples := examples_of(model.__name__):
        content["examples"] = {title: {"value": value} for title, value in examples.items()}
    return {getattr(model, "media_type", JSON): content}


def _build_callback(event: type[BaseModel], name: str, summary: str) -> dict[str, Any]:
    """Describe the IPN: what a merchant's server is sent, and what it answers."""
    headers = [
        {
            "name": name,
            "in": "header",
            "description": text,
            "required": name != "X-Request-ID",
            "schema": {"type": "string"},
        }
        for name, text in CALLBACK_HEADERS.items()
    ]
    return {
        "operationId": name,
        "summary": summary,
        "description": "Sent to `url.ipnUrl` until it is answered with 200, 201 or 202, for five days.",
        "parameters": headers,
        "requestBody": {"required": True, "content": _content_of(event)},
        "responses": {status: {"description": "Acknowledged."} for status in ("200", "201", "202")},
        "security": [],
    }


def _build_parameters(path: str, operation: Operation) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    parameters: list[dict[str, Any]] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string"},
            **PATH_PARAMETERS.get(name, {}),
        }
        for name in names
    ]
    if operation.query is not None:
        parameters += _build_query(operation.query)
    if operation.takes_request_id:
        parameters.append(REQUEST_ID_PARAMETER)
    if operation.needs_xml_http_request:
        parameters.append(XML_HTTP_REQUEST_PARAMETER)
    return parameters


def _build_query(model: type[BaseModel]) -> list[dict[str, Any]]:
    schema = model.model_json_schema(ref_template=REF)
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", []),
            "description": given.pop("description", ""),
            "schema": given,
        }
        for name, given in schema["properties"].items()
    ]


def _build_responses(operation: Operation, status: int) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": operation.summary}
    if operation.answer is not None:
        answer["content"] = _content_of(operation.answer)
    responses: dict[str, Any] = {str(status): answer}
    problem = {JSON: {"schema": {"$ref": REF.format(model=operation.problem.__name__)}}}
    for refusal in operation.refusals:
        responses[str(refusal)] = {"description": REFUSALS[refusal], "content": problem}
        if refusal == 401:
            responses[str(refusal)]["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
        if refusal in RETRYING:
            responses[str(refusal)]["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    return responses


def _build_schemas(operations: Sequence[Operation]) -> dict[str, Any]:
    requests = {operation.request for operation in operations if operation.request}
    answers = {operation.answer for operation in operations if operation.answer} | {ProblemAnswer, *EVENTS}
    answers |= {operation.problem for operation in operations}
    models = [(model, "validation") for model in requests] + [(model, "serialization") for model in answers]
    _, document = models_json_schema(
        sorted(models, key=lambda pair: pair[0].__name__),  # type: ignore[arg-type]  # the literals got widened
        ref_template=REF,
        by_alias=True,
    )
    schemas: dict[str, Any] = document["$defs"]
    return schemas
