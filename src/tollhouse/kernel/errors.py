"""Exceptions of Tollhouse, as one tree.

    TollhouseError
    ├── Rejection                   the caller can correct it; the API returns 4xx or 503
    │   ├── Invalid                 400, with every faulty field
    │   ├── NotAuthenticated        401
    │   ├── Forbidden               403
    │   ├── NotFound                404
    │   ├── RequestInProgress       409, with Retry-After
    │   ├── TooLarge                413
    │   ├── WrongMediaType          415
    │   ├── RequestIdReused         422
    │   ├── RateLimited             429, with Retry-After
    │   └── Unavailable             503, with Retry-After
    │       ├── QueueFull
    │       ├── Stopping
    │       └── DatabaseUnavailable
    │           └── StatementTooSlow
    └── InternalError               an internal error of the gateway; the API returns 500 and the log has an error
        ├── IllegalTransition
        └── SealBroken

The docstring of a class is its message, unless the raiser gives one.
Only `tollhouse.http.problems` chooses HTTP status codes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

#: The exceptions of parsing JSON from another party: invalid UTF-8 and endless nesting raise exceptions of their own. A
#: response that cannot be parsed must not be reported as anything else.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class TollhouseError(Exception):
    """Something went wrong."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").splitlines()[0])


class Rejection(TollhouseError):
    """The request was rejected."""


class Invalid(Rejection):
    """The request is invalid. Correct the fields in errors."""

    def __init__(self, errors: Mapping[str, Sequence[str]], message: str | None = None) -> None:
        super().__init__(message)
        self.errors = {path: list(texts) for path, texts in errors.items()}


class NotAuthenticated(Rejection):
    """The API key is missing or wrong. Send it in the Authorization header."""


class Forbidden(Rejection):
    """The API key may not do this."""


class NotFound(Rejection):
    """The resource was not found."""


class RequestInProgress(Rejection):
    """The same request is still in progress. Retry later with the same X-Request-ID."""

    retry_after_seconds = 2


class TooLarge(Rejection):
    """The body is too large. Send a smaller one."""


class WrongMediaType(Rejection):
    """The body is not JSON. Send it with Content-Type application/json."""


class RequestIdReused(Rejection):
    """This X-Request-ID was used with a different body. Send a new ID."""


class RateLimited(Rejection):
    """Too many requests. Retry later."""

    def __init__(self, retry_after_seconds: int, message: str | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(Rejection):
    """The gateway cannot accept this request at the moment. Retry with the same X-Request-ID."""

    retry_after_seconds = 2


class QueueFull(Unavailable):
    """Too many requests are waiting. Retry with the same X-Request-ID."""


class Stopping(Unavailable):
    """The gateway is stopping. Retry with the same X-Request-ID."""


class DatabaseUnavailable(Unavailable):
    """The database is unavailable. Retry with the same X-Request-ID."""


class StatementTooSlow(DatabaseUnavailable):
    """The search took too long. Narrow it, for example by its dates."""


class InternalError(TollhouseError):
    """The gateway reached a state that should be impossible."""


class IllegalTransition(InternalError):
    """The state of the payment does not allow this transition."""


class SealBroken(InternalError):
    """A sealed value could not be opened. It was changed, moved, or sealed under another key."""
