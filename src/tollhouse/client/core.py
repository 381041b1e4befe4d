"""The rules of both clients: how a call is written, when it is sent again, and how its outcome is read.

No input or output here: `sync` and `aio` send and wait, and decide nothing. A refusal is reported only if nothing can
have been done; every other end is an unknown outcome (`NotAnswered`).
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
from tollhouse.kernel.unreadable import UNREADABLE

Answer = TypeVar("Answer")

#: Statuses below 500 that do not end a request: it timed out, is still running, came too early, or was one too many.
NOT_FINAL = frozenset({408, 409, 425, 429})
#: Refusals that say nothing about an earlier, unanswered attempt: the caller or the path was refused, not the request.
ABOUT_THE_CALLER = frozenset({401, 403, 404, 405, 407})

INEXACT = "an amount must be text, int or Decimal, which are exact"
#: Of an X-Request-ID.
MAX_REQUEST_ID_CHARACTERS = 128

_encode = msgspec.json.Encoder(decimal_format="number").encode


class ClientError(Exception):
    """A call has no answer. `request_id` is the X-Request-ID that it was sent under.

    ClientError
    ├── ApiError       the gateway refused the request: nothing was done
    └── NotAnswered    the outcome is unknown: repeat the call with the same `request_id`
    """

    def __init__(self, message: str, *, request_id: str) -> None:
        super().__init__(message)
        self.request_id = request_id


class ApiError(ClientError):
    """The gateway refused the request for good (a 4xx), and nothing was done.

    `errors` lists the faults of each field by its path. Correct the request and send it under the same `request_id`:
    a refused request leaves its id free. Only a 422 needs another id, because the id belongs to another request.
    """

    def __init__(self, status: int, message: str, errors: Mapping[str, list[str]], *, request_id: str) -> None:
        details = "; ".join(f"{path} {', '.join(texts)}" for path, texts in errors.items())
        super().__init__(f"{status}: {message}{' ' if details else ''}{details}", request_id=request_id)
        self.status = status
        self.message = message
        self.errors = dict(errors)


class NotAnswered(ClientError):
    """The outcome is unknown. The request may have been carried out, and money may have been taken.

    Repeat the call with the same `request_id`, now or later: the gateway carries a request out once. Never send it
    under another id. `status` is that of the last answer, or None if there was none.
    """

    def __init__(self, reason: str, *, status: int | None, request_id: str) -> None:
        advice = f"The request may have been carried out: repeat it under the same request_id, {request_id}"
        super().__init__(f"{reason} {advice}", request_id=request_id)
        self.status = status


@dataclass(frozen=True, slots=True)
class Call(Generic[Answer]):
    """One call of the API. `answer` is the type of its body, None for a call that answers without one."""

    method: str
    path: str
    answer: Any
    body: Mapping[str, Any] | None = None
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """The bytes that are sent for a call: the same at every attempt, under the same id."""

    method: str
    url: str
    headers: dict[str, str]
    content: bytes | None
    request_id: str


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a request is sent, and how long to wait between two attempts.

    Pauses double, and are at least as long as the gateway asks for. `draw` gives numbers from 0 to 1: a pause is half
    to whole of its length, so that many clients do not come back together.
    """

    attempts: int = 4
    first_pause_seconds: float = 0.5
    longest_pause_seconds: float = 8.0
    draw: Callable[[], float] = SystemRandom().random

    def pause_seconds(self, attempt: int, *, retry_after: str | None = None) -> float | None:
        """Return how long to wait after attempt number `attempt`, from 1, or None after the last one."""
        if attempt >= self.attempts:
            return None
        nominal = min(self.first_pause_seconds * 2.0 ** (attempt - 1), self.longest_pause_seconds)
        said = retry_after or ""
        asked = float(said) if said.isascii() and said.isdigit() else 0.0
        return max(nominal * (0.5 + self.draw() / 2), min(asked, self.longest_pause_seconds))


@dataclass(frozen=True, slots=True)
class Outcome:
    """One attempt: what came back, or the error that came instead."""

    status: int | None
    content: bytes = b""
    retry_after: str | None = None
    cause: Exception | None = None


class Exchange(Generic[Answer]):
    """All attempts of one call: takes each outcome, says whether to send again, and gives the answer in the end."""

    def __init__(self, call: Call[Answer], retries: Retries, *, base_url: str, key: str) -> None:
        self.message = build_message(call, base_url=base_url, key=key)
        self._call = call
        self._retries = retries
        self._attempt = 0
        self._is_in_doubt = False
        self._end: Answer | ClientError | None = None

    def take(self, outcome: Outcome) -> float | None:
        """Take an attempt's outcome, and return how long to wait before the next one; None if there is none."""
        self._attempt += 1
        self._end = self._read(outcome)
        if not isinstance(self._end, NotAnswered):
            return None
        self._is_in_doubt = True
        if _is_redirect(outcome.status) or _is_refusal(outcome.status):
            return None
        return self._retries.pause_seconds(self._attempt, retry_after=outcome.retry_after)

    def answer(self) -> Answer:
        """Return the answer. Raises ApiError and NotAnswered."""
        if isinstance(self._end, ClientError):
            raise self._end
        return self._end  # type: ignore[return-value]  # None is the answer of a Call[None]

    def _read(self, outcome: Outcome) -> Answer | ClientError | None:
        """Return the answer, or the error that says why there is none."""
        status = outcome.status
        if status is None:
            error = self._doubt(f"No answer came: {outcome.cause!r}.", None)
            error.__cause__ = outcome.cause
            return error
        if 200 <= status < 300:
            return self._read_success(status, outcome.content)
        if _is_refusal(status):
            return self._read_refusal(status, outcome.content)
        if _is_redirect(status):
            return self._doubt(f"The answer was a redirect ({status}); check the base URL.", status)
        return self._doubt(f"{status}: {_read_problem(outcome.content).message}", status)

    def _read_success(self, status: int, content: bytes) -> Answer | ClientError | None:
        if self._call.answer is None:
            return None
        try:
            answer: Answer = msgspec.json.decode(content, type=self._call.answer)
        except UNREADABLE as error:
            return self._doubt(f"The answer ({status}) could not be read: {error}.", status)
        return answer

    def _read_refusal(self, status: int, content: bytes) -> ClientError:
        problem = _read_problem(content)
        if self._is_in_doubt and (status in ABOUT_THE_CALLER or not problem.is_ours):
            return self._doubt(f"An attempt was not answered, and the next one was refused with {status}.", status)
        return ApiError(status, problem.message, problem.errors, request_id=self.message.request_id)

    def _doubt(self, reason: str, status: int | None) -> NotAnswered:
        return NotAnswered(reason, status=status, request_id=self.message.request_id)


def _is_redirect(status: int | None) -> bool:
    return status is not None and 300 <= status < 400


def _is_refusal(status: int | None) -> bool:
    return status is not None and 400 <= status < 500 and status not in NOT_FINAL


class _Problem(msgspec.Struct):
    """The body of a refusal."""

    message: str
    errors: dict[str, list[str]] = {}
    is_ours: bool = True


def _read_problem(content: bytes) -> _Problem:
    """Read the body of a refusal; something between client and gateway may have written another one."""
    try:
        return msgspec.json.decode(content, type=_Problem)
    except UNREADABLE:
        return _Problem("The answer gives no reason.", is_ours=False)


def check_base_url(base_url: str) -> str:
    """Return the base URL without a slash at its end. Raises ValueError if it is none."""
    try:
        parts = urlsplit(base_url)
        is_sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_sound = False
    if not is_sound or not base_url.isascii() or not base_url.isprintable() or set(base_url) & set(" ?#@\\"):
        raise ValueError('base_url must look like "https://pay.example": scheme and host, no query, no user name.')
    return base_url.rstrip("/")


def build_message(call: Call[Any], *, base_url: str, key: str) -> Message:
    """Write a call as it is sent. A call without a request id gets one, which all attempts share.

    Raises ValueError for a request id that no header can hold.
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
    return Message(call.method, url, headers, content, request_id)


def exact(amount: str | int | Decimal) -> Decimal:
    """Return an amount as a decimal. Raises TypeError for a float, and ValueError for a text that is no number."""
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
    """Leave out fields that are None, at any depth. Raises TypeError for a float."""
    if isinstance(content, float):
        raise TypeError(f"{INEXACT}, not float")
    if isinstance(content, Mapping):
        return {name: drop_absent(value) for name, value in content.items() if value is not None}
    if isinstance(content, list | tuple):
        return [drop_absent(value) for value in content]
    return content


def path_of(form: str, *parts: str | int) -> str:
    """Put identifiers into a path, each as one step of it."""
    return form.format(*(quote(str(part), safe="") for part in parts))
