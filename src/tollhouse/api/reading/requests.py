"""Read a merchant's request: authenticate, decode and validate it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError

from tollhouse.api.reading.access import RequestAuthenticator, find_request_id_faults
from tollhouse.api.reading.body import MAX_BODY_BYTES, Body, describe_faults, names_of, read_object, validate
from tollhouse.http.requests import Request
from tollhouse.http.screen import read_screened_object
from tollhouse.idempotency.model import Claim
from tollhouse.kernel.errors import Invalid
from tollhouse.merchants.model import Merchant

Model = TypeVar("Model", bound=BaseModel)

#: Names of fields for security codes, in our API and in others.
CODE_NAMES = ("cvv", "cvc", "securitycode")

#: Encodes equal bodies as equal bytes, with their fields in any order.
_encode_canonical = msgspec.json.Encoder(order="deterministic").encode

#: A function that hashes bytes under a key of the vault.
Digest = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class AuthenticatedRequest(Generic[Model]):
    """A valid request: its merchant, its content, and the claim of its idempotency key if it has one."""

    merchant: Merchant
    request_id: str
    body: Model
    claim: Claim | None = None


async def read_request(
    authenticator: RequestAuthenticator,
    request: Request,
    model: type[Model],
    *,
    context: Mapping[str, Any] | None = None,
    limit_bytes: int = MAX_BODY_BYTES,
) -> AuthenticatedRequest[Model]:
    """Authenticate, decode and validate a request that changes something. Its X-Request-ID is only for the log.

    Raises Invalid with every fault, and the errors of `RequestAuthenticator.access` and `read_object`.
    """
    merchant = await authenticator.access(request)
    content, faults = await read_object(request, limit_bytes=limit_bytes)
    faults |= _find_query_faults(request, model)
    return AuthenticatedRequest(merchant, request.request_id, validate_body(model, content, faults, context))


async def read_lenient_request(
    authenticator: RequestAuthenticator,
    request: Request,
    model: type[Model],
    *,
    limit_bytes: int,
    card_fields: Collection[str] = (),
) -> AuthenticatedRequest[Model]:
    """Do the same for a call of stage, whose body may have any content type, and a card in `card_fields`."""
    merchant = await authenticator.access(request)
    body = await request.read_body(limit_bytes=limit_bytes)
    content, faults = read_screened_object(body, allowed=card_fields)
    return AuthenticatedRequest(merchant, request.request_id, validate_body(model, content, faults))


async def read_creation(
    authenticator: RequestAuthenticator,
    request: Request,
    model: type[Model],
    *,
    operation: str,
    digest: Digest,
    context: Mapping[str, Any] | None = None,
    limit_bytes: int = MAX_BODY_BYTES,
) -> AuthenticatedRequest[Model]:
    """Authenticate, decode and validate a request that creates something, and read its idempotency key."""
    merchant = await authenticator.access(request)
    content, faults = await read_object(request, limit_bytes=limit_bytes)
    faults |= find_request_id_faults(request) | _find_query_faults(request, model)
    body = validate_body(model, content, faults, context)
    claim = build_claim(request, merchant, content, operation=operation, digest=digest)
    return AuthenticatedRequest(merchant, request.request_id, body, claim)


async def read_query(
    authenticator: RequestAuthenticator, request: Request, model: type[Model]
) -> AuthenticatedRequest[Model]:
    """Authenticate a request that reads, and validate its query parameters.

    An unknown parameter is rejected, because the caller would take it for a filter.
    """
    merchant = await authenticator.access(request)
    given = request.query
    faults = {name: ["is not a parameter of this call"] for name in given if name not in names_of(model)}
    faults |= {name: ["is given twice"] for name in given if name not in faults and len(given[name]) > 1}
    content = {name: values[0] for name, values in given.items()}
    return AuthenticatedRequest(merchant, request.request_id, validate_body(model, content, faults))


def _find_query_faults(request: Request, model: type[BaseModel]) -> dict[str, list[str]]:
    """Return faults of query parameters of a call with decisive fields: a field may be there by mistake."""
    if not (issubclass(model, Body) and model.decisive):
        return {}
    return {name: ["is not a parameter of this call; send it in the body"] for name in request.query}


def build_claim(
    request: Request, merchant: Merchant, content: dict[str, Any], *, operation: str, digest: Digest
) -> Claim | None:
    """Return the claim of a request's idempotency key, or None if it sent none.

    `operation` is the scope of the key beside the merchant. Equal requests have one path and equal bodies, with their
    fields in any order.
    """
    if request.sent_request_id is None:
        return None
    canonical = _encode_canonical([request.path, leave_out_codes(content)])
    return Claim(merchant.merchant_id, operation, request.request_id, digest(canonical))


def leave_out_codes(content: Any) -> Any:
    """Return a body without security codes, under any name and at any depth.

    A digest with a code would reveal it to holders of the key: there are only a thousand codes (PCI DSS 4.0.1, 3.3.1).
    """
    if isinstance(content, dict):
        return {
            name: leave_out_codes(value) if isinstance(value, dict | list) else value
            for name, value in content.items()
            if not _names_code(name)
        }
    if isinstance(content, list):
        return [leave_out_codes(value) for value in content]
    return content


@lru_cache(maxsize=1024)
def _names_code(name: str) -> bool:
    plain = "".join(letter for letter in name.casefold() if letter.isalnum())
    return any(code in plain for code in CODE_NAMES)


def validate_body(
    model: type[Model], content: dict[str, Any], faults: dict[str, list[str]], context: Mapping[str, Any] | None = None
) -> Model:
    """Return the model of a body. Raises Invalid with the given faults and those of the model."""
    if issubclass(model, Body):
        faults = model.find_decisive_faults(content) | faults if model.decisive else faults
    try:
        body = validate(model, content, context)
    except ValidationError as error:
        raise Invalid(describe_faults(error) | faults) from None
    if faults:
        raise Invalid(faults)
    return body
