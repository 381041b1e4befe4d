"""From errors to answers: the one table of HTTP status codes, and the words for faulty fields.

No message echoes what was sent: paths and texts are masked besides, should a card number stand where a name belongs.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable, Mapping
from typing import Any

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from pydantic import ValidationError

from tollhouse.api.envelope import request_id_of
from tollhouse.kernel import errors
from tollhouse.kernel.card import mask_digits
from tollhouse.kernel.card_search import mask_card_numbers
from tollhouse.wire.answers import ProblemAnswer
from tollhouse.wire.render import render

log = structlog.get_logger()

#: What `paymentSource.type` may be.
SOURCE_KINDS = ("card", "token", "consumer", "paymentAccountId", "paymentAccountIdWithCvv", "cc_token")

#: The nearest class of an error's ancestry decides.
STATUS_CODES: dict[type[Exception], int] = {
    errors.Invalid: 400,
    errors.NotAuthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.RequestInProgress: 409,
    errors.TooLarge: 413,
    errors.WrongMediaType: 415,
    errors.RequestIdReused: 422,
    errors.RateLimited: 429,
    errors.Unavailable: 503,
}

#: Long runs of digits in a path: its keys are the client's own, perhaps a card number with a typing error.
DIGITS = re.compile(r"\d{12,}")
#: The steps that a union adds to the paths of its fields, by the field that holds it: they are no part of the request.
VARIANTS = {"paymentSource": frozenset(SOURCE_KINDS), "sku": frozenset({"one", "bundle"})}
#: Further names of fields, by the source that has them: a fault is told under the first.
OTHER_NAMES = {("token", "value"): "token", ("consumer", "value"): "id"}
MAX_PATH_LENGTH = 128
#: How to authenticate (RFC 9110, 11.6.1): the key after `Bearer`, or bare, for which there is no name.
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="tollhouse"'}

#: What pydantic found, in the words of this API. `{}` is filled from the error's context.
TEXTS = {
    "missing": "is required",
    "extra_forbidden": "is no field of this request",
    "union_tag_not_found": "is required",
    "union_tag_invalid": f"must be one of {', '.join(SOURCE_KINDS)}",
    "string_type": "must be a text",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "is not well formed",
    "list_type": "must be a list",
    "too_long": "must have at most {max_length} entries",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "decimal_type": "must be a number",
    "decimal_parsing": "must be a number",
    "finite_number": "must be a number",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
    "decimal_max_places": "must have at most {decimal_places} decimals",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
    "literal_error": "must be {expected}",
}


def problem(
    status: int,
    message: str,
    *,
    faults: Mapping[str, list[str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response[bytes]:
    """Build the answer to a refused request."""
    body = ProblemAnswer(
        message=mask_card_numbers(message),
        errors={mask_path(path): texts for path, texts in (faults or {}).items()},
    )
    return Response(render(body), status_code=status, media_type="application/json", headers=dict(headers or {}))


def answer_refusal(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer a refusal with its status, its message and every faulty field."""
    status = next(STATUS_CODES[kind] for kind in type(error).__mro__ if kind in STATUS_CODES)
    faults = error.errors if isinstance(error, errors.Invalid) else {}
    retry_after = getattr(error, "retry_after_seconds", None)
    headers = {"Retry-After": str(retry_after)} if retry_after else {}
    if status == 401:
        headers |= CHALLENGE
    return problem(status, str(error), faults=faults, headers=headers)


def answer_http_exception(_: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Answer what the framework refused: an unknown path, a method that a path does not have."""
    texts = {404: "There is no such path.", 405: "This path does not have that method."}
    message = texts.get(error.status_code, "The request could not be read.")
    headers = {name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"}
    return problem(error.status_code, message, headers=headers)


def answer_defect(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer a defect with a reference for the log and nothing else. The log gets the way to it, without any values."""
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    log.error("defect", request_id=request_id_of(request.scope), error=type(error).__name__, frames=frames[-12:])
    return problem(500, f"Something is wrong at our side. Reference: {request_id_of(request.scope)}")


def describe_faults(error: ValidationError) -> dict[str, list[str]]:
    """Name every field that a model refused, by its path in the request, without any of its content."""
    faults: dict[str, list[str]] = {}
    for fault in error.errors(include_url=False, include_input=False):
        path = _write_path(fault["loc"], is_missing_tag=fault["type"].startswith("union_tag"))
        faults.setdefault(path, []).append(_describe(fault["type"], fault.get("ctx", {})))
    return faults


def _write_path(location: Iterable[int | str], *, is_missing_tag: bool) -> str:
    parts = [str(part) for part in location]
    if len(parts) > 1 and parts[1] in VARIANTS.get(parts[0], ()):
        variant = parts.pop(1)
        parts[1:2] = [OTHER_NAMES.get((variant, name), name) for name in parts[1:2]]
    return ".".join([*parts, "type"] if is_missing_tag else parts)[:MAX_PATH_LENGTH]


def _describe(kind: str, context: Mapping[str, Any]) -> str:
    if kind == "value_error":
        return str(context.get("error", "is not valid"))
    return TEXTS.get(kind, "is not valid").format(**context)


def mask_path(path: str) -> str:
    """Mask whatever might be a card number in the path of a field."""
    return DIGITS.sub(lambda found: mask_digits(found[0]), mask_card_numbers(path))
