"""Everything that can go wrong, as one tree.

    TollhouseError
    ├── Refusal                     the caller may mend it; the edge turns it into a 4xx or a 503
    │   ├── Invalid                 400, with every faulty field
    │   ├── NotAuthenticated        401
    │   ├── Forbidden               403
    │   ├── NotFound                404
    │   ├── RequestInProgress            409, with Retry-After
    │   ├── TooLarge                413
    │   ├── WrongMediaType          415
    │   ├── RequestIdReused         422
    │   ├── RateLimited             429, with Retry-After
    │   └── Unavailable             503, with Retry-After
    │       ├── QueueFull
    │       └── DatabaseUnavailable
    │           └── StatementTooSlow
    └── Defect                      ours to mend; the edge turns it into a 500 and somebody is told
        ├── IllegalTransition
        └── SealBroken

The docstring of a class is its message, unless a better one is given.
HTTP status codes are chosen in `tollhouse.http.problems` and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class TollhouseError(Exception):
    """Something went wrong."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").splitlines()[0])


class Refusal(TollhouseError):
    """The request was refused."""


class Invalid(Refusal):
    """The request has faulty fields."""

    def __init__(self, errors: Mapping[str, Sequence[str]], message: str | None = None) -> None:
        super().__init__(message)
        self.errors = {path: list(texts) for path, texts in errors.items()}


class NotAuthenticated(Refusal):
    """The API key is missing or wrong."""


class Forbidden(Refusal):
    """The API key may not do this, or not from this address."""


class NotFound(Refusal):
    """There is no such thing."""


class RequestInProgress(Refusal):
    """The same request is still running; repeat it later with the same X-Request-ID."""

    retry_after_seconds = 2


class TooLarge(Refusal):
    """The body is too large."""


class WrongMediaType(Refusal):
    """The body has to be application/json."""


class RequestIdReused(Refusal):
    """This X-Request-ID was used before with another body."""


class RateLimited(Refusal):
    """There were too many requests."""

    def __init__(self, retry_after_seconds: int, message: str | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(Refusal):
    """The gateway cannot take this request at the moment; repeat it with the same X-Request-ID."""

    retry_after_seconds = 2


class QueueFull(Unavailable):
    """Too many requests are waiting; repeat this one with the same X-Request-ID."""


class Stopping(Unavailable):
    """The gateway is stopping; repeat the request with the same X-Request-ID."""


class DatabaseUnavailable(Unavailable):
    """The database is away; repeat the request with the same X-Request-ID."""


class StatementTooSlow(DatabaseUnavailable):
    """The search took too long; narrow it, for example by its dates."""


class InternalError(TollhouseError):
    """The gateway met a state that it should never be in."""


class IllegalTransition(InternalError):
    """A payment was asked to move where its state does not lead."""


class SealBroken(InternalError):
    """A sealed value could not be opened: it was changed, moved, or sealed under another key."""
