"""The rules of both clients: building a call, sending it again, and reading its outcome.

This module does no input or output: `clients` sends and waits, and decides nothing. A rejection is reported only if
nothing can have been done; every other failure is an unknown outcome (`NotAnswered`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from random import SystemRandom
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode, urlsplit
from uuid import uuid4

import msgspec

from tollhouse import __version__
from tollhouse.kernel.errors import UNREADABLE

Answer = TypeVar("Answer")

#: Statuses below 500 that do not end a request: it timed out, is still running, came too early, or exceeded a limit.
NOT_FINAL = frozenset({408, 409, 425, 429})
#: Rejections that do not concern an earlier attempt without a response: they reject the caller or the path, not the
#: request.
ABOUT_THE_CALLER = frozenset({401, 403, 404, 405, 407})

INEXACT = "an amount must be text, int or Decimal, which are exact"
#: The maximum length of an X-Request-ID.
MAX_REQUEST_ID_CHARACTERS = 128

_encode = msgspec.json.Encoder(decimal_format="number").encode


class ClientError(Exception):
    """A call has no response. `request_id` is the X-Request-ID that it was sent under.

    ClientError
    ├── ApiError       the gateway rejected the request: nothing was done
    └── NotAnswered    the outcome is unknown: repeat the call with the same `request_id`
    """

    def __init__(self, message: str, *, request_id: str) -> None:
        super().__init__(message)
        self.request_id = request_id


class ApiError(ClientError):
    """The gateway rejected the request finally (a 4xx), and nothing was done.

    `errors` lists the faults of each field by its path. Correct the request and send it under the same `request_id`: a
    rejected request leaves its ID free. Only a 422 needs another ID, because the ID belongs to another request.
    """

    def __init__(self, status: int, message: str, errors: Mapping[str, list[str]], *, request_id: str) -> None:
        details = "; ".join(f"{path} {', '.join(texts)}" for path, texts in errors.items())
        super().__init__(f"{status}: {message}{' ' if details else ''}{details}", request_id=request_id)
        self.status = status
        self.message = message
        self.errors = dict(errors)


class NotAnswered(ClientError):
    """The outcome is unknown. The request may have been processed, and money may have been captured.

    Repeat the call with the same `request_id`, now or later: the gateway processes a request once. Never send it under
    another ID. `status` is that of the last response, or None if there was none.
    """

    def __init__(self, reason: str, *, status: int | None, request_id: str) -> None:
        advice = f"The request may have been processed. Repeat it with the same request_id, {request_id}"
        super().__init__(f"{reason} {advice}", request_id=request_id)
        self.status = status


@dataclass(frozen=True, slots=True)
class Call(Generic[Answer]):
    """A call of the API. `answer` is the type of the response body, None for a response without one."""

    method: str
    path: str
    answer: Any
    body: Mapping[str, Any] | None = None
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """The request that is sent for a call: the same at every attempt, under the same ID."""

    method: str
    url: str
    headers: dict[str, str]
    content: bytes | None
    request_id: str


@dataclass(frozen=True, slots=True)
class Retries:
    """The number of attempts of a request, and the pauses between them.

    Pauses double, and are at least as long as the gateway's Retry-After. `draw` returns numbers from 0 to 1: a pause is
    half to all of its length, so that many clients do not return together.
    """

    attempts: int = 4
    first_pause_seconds: float = 0.5
    longest_pause_seconds: float = 8.0
    draw: Callable[[], float] = SystemRandom().random

    def pause_seconds(self, attempt: int, *, retry_after: str | None = None) -> float | None:
        """Return the pause after attempt number `attempt`, from 1, or None after the last one."""
        if attempt >= self.attempts:
            return None
        nominal = min(self.first_pause_seconds * 2.0 ** (attempt - 1), self.longest_pause_seconds)
        said = retry_after or ""
        asked = float(said) if said.isascii() and said.isdigit() else 0.0
        return max(nominal * (0.5 + self.draw() / 2), min(asked, self.longest_pause_seconds))


@dataclass(frozen=True, slots=True)
class AttemptOutcome:
    """One attempt: the response, or the error."""

    status: int | None
    content: bytes = b""
    retry_after: str | None = None
    cause: Exception | None = None


class Exchange(Generic[Answer]):
    """All attempts of one call.

    It records each outcome, decides on another attempt, and returns the response in the end.
    """

    def __init__(self, call: Call[Answer], retries: Retries, *, base_url: str, key: str) -> None:
        self.message = build_message(call, base_url=base_url, key=key)
        self._call = call
        self._retries = retries
        self._attempt = 0
        self._is_in_doubt = False
        self._end: Answer | ClientError | None = None

    def take(self, outcome: AttemptOutcome) -> float | None:
        """Record the outcome of an attempt, and return the pause before the next one, or None after the last."""
        self._attempt += 1
        self._end = self._read(outcome)
        if not isinstance(self._end, NotAnswered):
            return None
        self._is_in_doubt = True
        if _is_redirect(outcome.status) or _is_rejection(outcome.status):
            return None
        return self._retries.pause_seconds(self._attempt, retry_after=outcome.retry_after)

    def answer(self) -> Answer:
        """Return the response. Raises ApiError and NotAnswered."""
        if isinstance(self._end, ClientError):
            raise self._end
        return self._end  # type: ignore[return-value]  # None is the answer of a Call[None]

    def _read(self, outcome: AttemptOutcome) -> Answer | ClientError | None:
        """Return the response, or the error with the reason for its absence."""
        status = outcome.status
        if status is None:
            error = self._doubt(f"No response arrived: {outcome.cause!r}.", None)
            error.__cause__ = outcome.cause
            return error
        if 200 <= status < 300:
            return self._read_success(status, outcome.content)
        if _is_rejection(status):
            return self._read_rejection(status, outcome.content)
        if _is_redirect(status):
            return self._doubt(f"The response was a redirect ({status}). Check the base URL.", status)
        return self._doubt(f"{status}: {_read_problem(outcome.content).message}", status)

    def _read_success(self, status: int, content: bytes) -> Answer | ClientError | None:
        if self._call.answer is None:
            return None
        try:
            answer: Answer = msgspec.json.decode(content, type=self._call.answer)
        except UNREADABLE as error:
            return self._doubt(f"The response ({status}) could not be read: {error}.", status)
        return answer

    def _read_rejection(self, status: int, content: bytes) -> ClientError:
        problem = _read_problem(content)
        if self._is_in_doubt and (status in ABOUT_THE_CALLER or not problem.is_ours):
            return self._doubt(f"An attempt got no response, and the next one was rejected with {status}.", status)
        return ApiError(status, problem.message, problem.errors, request_id=self.message.request_id)

    def _doubt(self, reason: str, status: int | None) -> NotAnswered:
        return NotAnswered(reason, status=status, request_id=self.message.request_id)


def _is_redirect(status: int | None) -> bool:
    return status is not None and 300 <= status < 400


def _is_rejection(status: int | None) -> bool:
    return status is not None and 400 <= status < 500 and status not in NOT_FINAL


class _Problem(msgspec.Struct):
    """The body of a rejection."""

    message: str
    errors: dict[str, list[str]] = {}
    is_ours: bool = True


def _read_problem(content: bytes) -> _Problem:
    """Parse the body of a rejection. A proxy between client and gateway may have sent another body."""
    try:
        return msgspec.json.decode(content, type=_Problem)
    except UNREADABLE:
        return _Problem("The response gives no reason.", is_ours=False)


def check_base_url(base_url: str) -> str:
    """Return the base URL without a trailing slash. Raises ValueError if it is invalid."""
    try:
        parts = urlsplit(base_url)
        is_sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_sound = False
    if not is_sound or not base_url.isascii() or not base_url.isprintable() or set(base_url) & set(" ?#@\\"):
        raise ValueError('base_url must look like "https://pay.example": scheme and host, no query, no user name.')
    return base_url.rstrip("/")


def build_message(call: Call[Any], *, base_url: str, key: str) -> PreparedRequest:
    """Build the request of a call. A call without a request ID gets one, which all attempts share.

    Raises ValueError for a request ID that is invalid in a header.
    """
    request_id = str(uuid4()) if call.request_id is None else call.request_id
    if not 1 <= len(request_id) <= MAX_REQUEST_ID_CHARACTERS or not all("!" <= one <= "~" for one in request_id):
        raise ValueError(f"request_id must have 1 to {MAX_REQUEST_ID_CHARACTERS} visible ASCII characters.")
    headers = {
        "Accept": "application/json",
        "User-Agent": f"tollhouse-client/{__version__}",
        "X-Request-ID": request_id,
        **call.headers,
    }
    if key:
        headers["Authorization"] = key
    content = None
    if call.body is not None:
        headers["Content-Type"] = "application/json"
        content = _encode(drop_absent(call.body))
    query = urlencode({name: value for name, value in call.query.items() if value is not None})
    url = f"{base_url.rstrip('/')}{call.path}{'?' if query else ''}{query}"
    return PreparedRequest(call.method, url, headers, content, request_id)


def exact(amount: str | int | Decimal) -> Decimal:
    """Return an amount as a decimal. Raises TypeError for a float, and ValueError for a text that is not a number."""
    if isinstance(amount, bool) or not isinstance(amount, str | int | Decimal):
        raise TypeError(f"{INEXACT}, not {type(amount).__name__}")
    try:
        number = Decimal(amount)
    except InvalidOperation:
        raise ValueError(f"{amount!r} is not an amount") from None
    if not number.is_finite():
        raise ValueError(f"{amount!r} is not an amount")
    return number


def drop_absent(content: Any) -> Any:
    """Drop fields that are None, at any depth. Raises TypeError for a float."""
    if isinstance(content, float):
        raise TypeError(f"{INEXACT}, not float")
    if isinstance(content, Mapping):
        return {name: drop_absent(value) for name, value in content.items() if value is not None}
    if isinstance(content, list | tuple):
        return [drop_absent(value) for value in content]
    return content


def path_of(form: str, *parts: str | int) -> str:
    """Insert identifiers into a path, each as one segment."""
    return form.format(*(quote(str(part), safe="") for part in parts))
