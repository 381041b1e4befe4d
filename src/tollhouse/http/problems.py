"""Responses to errors, with the only table of HTTP status codes.

No message quotes the request. Paths and texts are masked too, in case a card number is in place of a name.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping

import msgspec
import structlog

from tollhouse.http.requests import Request
from tollhouse.http.responses import Response
from tollhouse.kernel import errors
from tollhouse.kernel.card import mask_digits
from tollhouse.kernel.card_search import mask_card_numbers

log = structlog.get_logger()


class MethodNotAllowed(errors.Rejection):
    """This path does not have that method. See the Allow header."""

    def __init__(self, allowed: str) -> None:
        super().__init__()
        self.allowed = allowed


#: The status of the nearest base class of an error counts.
STATUS_CODES: dict[type[Exception], int] = {
    errors.Invalid: 400,
    errors.NotAuthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    MethodNotAllowed: 405,
    errors.RequestInProgress: 409,
    errors.TooLarge: 413,
    errors.WrongMediaType: 415,
    errors.RequestIdReused: 422,
    errors.RateLimited: 429,
    errors.Unavailable: 503,
}

NO_PATH = "Path not found. Check the URL."
#: Long digit runs in a path, whose keys come from the client: perhaps a mistyped card number.
DIGITS = re.compile(r"\d{12,}")
#: The authentication scheme (RFC 9110, 11.6.1): the key after `Bearer`; a bare key has no scheme name.
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="tollhouse"'}
MAX_LOGGED_FRAMES = 12


def build_error_response(request: Request, error: Exception) -> Response:
    """Return the response to an error of a handler."""
    if isinstance(error, errors.Rejection):
        return build_rejection_response(error)
    log_defect(request, error)
    text = f"An internal error occurred. Retry with the same X-Request-ID. Reference: {request.request_id}"
    return build_problem_response(500, text)


def build_rejection_response(error: errors.Rejection) -> Response:
    """Return the response to a rejected request: status, message and all faults."""
    status = choose_status(error)
    faults = error.errors if isinstance(error, errors.Invalid) else {}
    headers = build_retry_after(error)
    if status == 401:
        headers |= CHALLENGE
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = error.allowed
    return build_problem_response(status, str(error), faults=faults, headers=headers)


def choose_status(error: errors.Rejection) -> int:
    """Return the status of a rejection."""
    return next(STATUS_CODES[kind] for kind in type(error).__mro__ if kind in STATUS_CODES)


def build_retry_after(error: errors.Rejection) -> dict[str, str]:
    """Return the Retry-After header, if a retry helps."""
    seconds = getattr(error, "retry_after_seconds", None)
    return {"Retry-After": str(seconds)} if seconds else {}


def build_problem_response(
    status: int,
    message: str,
    *,
    faults: Mapping[str, list[str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return an error in the form of all calls."""
    content = {
        "message": mask_card_numbers(message),
        "errors": {mask_path(path): texts for path, texts in (faults or {}).items()},
    }
    return Response(msgspec.json.encode(content), status, headers=headers or {})


def log_defect(request: Request, error: Exception) -> None:
    """Log an internal error with its frames, without values."""
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    log.error(
        "request.failed", request_id=request.request_id, error=type(error).__name__, frames=frames[-MAX_LOGGED_FRAMES:]
    )


def mask_path(path: str) -> str:
    """Mask possible card numbers in the path of a field."""
    return DIGITS.sub(lambda found: mask_digits(found[0]), mask_card_numbers(path))
