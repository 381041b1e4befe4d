"""What both clients are made of: a call, what is sent for it, whether it is sent again, and what its answer means.

No input or output here: `sync` and `aio` send and wait, and decide nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import SystemRandom
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode
from uuid import uuid4

import msgspec

from tollhouse import __version__

Answer = TypeVar("Answer")

#: Statuses after which the same request, under the same id, may have another answer: it is still running, there were
#: too many, or something was out of order at the gateway or on the way to it.
WORTH_REPEATING = frozenset({409, 429, 500, 502, 503, 504})

#: Of HTTP statuses.
FIRST_REFUSAL = 400

_encode = msgspec.json.Encoder(decimal_format="number").encode


class ClientError(Exception):
    """A call did not have the answer that was asked for. `request_id` names the request in the gateway's log."""

    def __init__(self, message: str, *, request_id: str) -> None:
        super().__init__(message)
        self.request_id = request_id


class ApiError(ClientError):
    """The gateway refused the request. `errors` has what is wrong with each faulty field, by its path."""

    def __init__(self, status: int, message: str, errors: Mapping[str, list[str]], *, request_id: str) -> None:
        details = "; ".join(f"{path} {', '.join(texts)}" for path, texts in errors.items())
        super().__init__(f"{status}: {message}{' ' if details else ''}{details}", request_id=request_id)
        self.status = status
        self.message = message
        self.errors = dict(errors)


class NotAnswered(ClientError):
    """No answer came, however often it was asked for. What was asked may have been done.

    The same call with this `request_id` finds out, today or tomorrow: it is carried out once.
    """


@dataclass(frozen=True, slots=True)
class Call(Generic[Answer]):
    """One call of the API. `answer` is what its body is read as, None for a call that answers without one."""

    method: str
    path: str
    answer: Any
    body: Mapping[str, Any] | None = None
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent for a call: each time the same bytes under the same id."""

    method: str
    url: str
    headers: dict[str, str]
    content: bytes | None
    request_id: str


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a request is sent, and how long to wait in between.

    Pauses double, and are at least as long as the gateway asks for. `draw` gives numbers from 0 to 1: a pause is half
    to whole of its length, so that many clients do not come back together.
    """

    attempts: int = 4
    first_pause_seconds: float = 0.5
    longest_pause_seconds: float = 8.0
    draw: Callable[[], float] = SystemRandom().random

    def pause_seconds(self, attempt: int, outcome: Outcome) -> float | None:
        """Return how long to wait after attempt number `attempt`, from 1, or None when there is nothing to wait for."""
        if outcome.is_final or attempt >= self.attempts:
            return None
        nominal = min(self.first_pause_seconds * 2.0 ** (attempt - 1), self.longest_pause_seconds)
        said = outcome.retry_after or ""
        asked = float(said) if said.isascii() and said.isdigit() else 0.0
        return max(nominal * (0.5 + self.draw() / 2), min(asked, self.longest_pause_seconds))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt: an answer, or the reason why there is none."""

    status: int | None
    content: bytes = b""
    retry_after: str | None = None
    cause: Exception | None = None

    @property
    def is_final(self) -> bool:
        """Whether asking again would bring nothing else."""
        return self.status is not None and self.status not in WORTH_REPEATING


def build_message(call: Call[Any], *, base_url: str, key: str) -> Message:
    """Write a call down. A call that has no request id gets one, which its repeats keep."""
    request_id = call.request_id or str(uuid4())
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


def read_outcome(call: Call[Answer], outcome: Outcome, *, request_id: str) -> Answer:
    """Read what came back. Raises ApiError for a refusal and for an answer that makes no sense, else NotAnswered."""
    if outcome.status is None:
        raise NotAnswered(f"No answer came: {outcome.cause}", request_id=request_id) from outcome.cause
    if outcome.status >= FIRST_REFUSAL:
        raise _read_refusal(outcome.status, outcome.content, request_id)
    if call.answer is None:
        return None  # type: ignore[return-value]  # such a call is a Call[None]
    try:
        answer: Answer = msgspec.json.decode(outcome.content, type=call.answer)
    except msgspec.MsgspecError as error:
        text = f"The answer was not understood: {error}"
        raise ApiError(outcome.status, text, {}, request_id=request_id) from None
    return answer


def _read_refusal(status: int, content: bytes, request_id: str) -> ApiError:
    try:
        problem = msgspec.json.decode(content, type=_Problem)
    except msgspec.MsgspecError:
        return ApiError(status, "The request was refused without a reason.", {}, request_id=request_id)
    return ApiError(status, problem.message, problem.errors, request_id=request_id)


class _Problem(msgspec.Struct):
    message: str
    errors: dict[str, list[str]] = {}


def drop_absent(content: Any) -> Any:
    """Leave out what is None, at any depth. Raises TypeError for a float: amounts are texts, integers or decimals."""
    if isinstance(content, float):
        raise TypeError("amounts are given as text, int or Decimal: a float is not exact")
    if isinstance(content, Mapping):
        return {name: drop_absent(value) for name, value in content.items() if value is not None}
    if isinstance(content, list | tuple):
        return [drop_absent(value) for value in content]
    return content


def path_of(form: str, *parts: str | int) -> str:
    """Put identifiers into a path, each as one step of it."""
    return form.format(*(quote(str(part), safe="") for part in parts))
