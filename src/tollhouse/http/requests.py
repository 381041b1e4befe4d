"""The requests that handlers receive, and the purposes of calls."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any
from urllib.parse import parse_qs, unquote

from tollhouse.http.asgi import Receive, Scope
from tollhouse.kernel.card_search import holds_card_number
from tollhouse.kernel.errors import Invalid, TooLarge
from tollhouse.kernel.ids import new_request_id

#: 1 to 128 visible ASCII characters.
REQUEST_ID_FORM = re.compile(r"[!-~]{1,128}")
#: The name in log and metrics of a request without a route.
UNKNOWN_ROUTE = "unknown"

_SLASHES = re.compile("//+")


class RequestHeaders(Mapping[str, str]):
    """The headers of a request by lower-case name. The first of several headers of one name counts."""

    __slots__ = ("_first", "_raw")

    def __init__(self, raw: Sequence[tuple[bytes, bytes]]) -> None:
        self._raw = raw
        self._first = dict(reversed(raw))

    def __getitem__(self, name: str) -> str:
        return self._first[name.encode("latin-1")].decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._first)

    def __len__(self) -> int:
        return len(self._first)

    def get(self, name: str, default: Any = "") -> Any:
        """Return the first header of a name, or the default."""
        value = self._first.get(name.encode("latin-1"))
        return default if value is None else value.decode("latin-1")

    def get_all(self, name: str) -> list[str]:
        """Return all headers of a name, in order."""
        wanted = name.encode("latin-1")
        return [value.decode("latin-1") for found, value in self._raw if found == wanted]


class Request:
    """An HTTP request.

    `path` has one slash before each step and none at its end. `path_parameters`, `route_path` and `purpose` are those
    of the route, which the application sets.
    """

    __slots__ = (
        "_query",
        "_receive",
        "headers",
        "method",
        "path",
        "path_parameters",
        "peer",
        "purpose",
        "query_string",
        "request_id",
        "request_id_fault",
        "route_path",
        "sent_request_id",
    )

    def __init__(self, scope: Scope, receive: Receive) -> None:
        client, headers = scope.get("client"), RequestHeaders(scope["headers"])
        sent = headers.get("x-request-id", None)
        self.method: str = scope["method"]
        self.path = normalize_path(scope["path"])
        self.path_parameters: Mapping[str, str] = {}
        self.query_string: str = scope["query_string"].decode("latin-1")
        self.headers = headers
        #: The peer's address, or an empty text if it is unknown.
        self.peer: str = client[0] if client else ""
        #: The `X-Request-ID` as sent, valid or not.
        self.sent_request_id: str | None = sent
        #: The reason that it is not valid.
        self.request_id_fault = None if sent is None else find_request_id_fault(sent)
        #: The client's request ID if it is valid, or else a generated one.
        self.request_id: str = sent if sent is not None and self.request_id_fault is None else new_request_id()
        self.route_path = UNKNOWN_ROUTE
        self.purpose = Purpose.SELLS
        self._query: dict[str, list[str]] | None = None
        self._receive = receive

    @property
    def query(self) -> Mapping[str, list[str]]:
        """The query parameters, each with all its values."""
        if self._query is None:
            self._query = parse_qs(self.query_string, keep_blank_values=True)
        return self._query

    def query_value(self, name: str, default: str = "") -> str:
        """Return the first value of a query parameter, or the default."""
        values = self.query.get(name)
        return values[0] if values else default

    @property
    def cookies(self) -> Mapping[str, str]:
        """The cookies of the request."""
        pairs = (pair.partition("=") for pair in self.headers.get("cookie").split(";"))
        return {name.strip(): unquote(value.strip().strip('"')) for name, is_pair, value in pairs if is_pair}

    def forget_request_id(self) -> None:
        """Replace a request ID that response and log must not contain."""
        self.request_id = new_request_id()

    async def read_body(self, *, limit_bytes: int) -> bytes:
        """Read the whole body, once. Raises TooLarge and Invalid."""
        if _read_length(self.headers.get("content-length", "0")) > limit_bytes:
            raise _too_large(limit_bytes)
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Invalid({}, "The body ended early. Send the request again.")
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > limit_bytes:
                raise _too_large(limit_bytes)
            chunks.append(chunk)
            if not message.get("more_body"):
                return b"".join(chunks)

    async def wait_for_disconnect(self) -> None:
        """Return when the client has disconnected."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


class Purpose(Enum):
    """The purpose of a call."""

    #: Sell, charge or capture, or enable that: a page, a subscription's new card, a recovered subscription.
    SELLS = "sells"
    #: Refund, or end a subscription.
    GIVES_BACK = "gives back"
    READS = "reads"
    #: Change stored data without charges: sites, SKUs, consumers, callbacks, and calls of stage.
    SETS_UP = "sets up"


def normalize_path(path: str) -> str:
    """Return a path without a slash at its end, and with single slashes."""
    if path.endswith("/") or "//" in path:
        return "/" + _SLASHES.sub("/", path).strip("/")
    return path or "/"


def find_request_id_fault(text: str) -> str | None:
    """Return the fault of a text as an X-Request-ID, or None."""
    if REQUEST_ID_FORM.fullmatch(text) is None:
        return "must have 1 to 128 visible ASCII characters"
    return "must not contain a card number" if holds_card_number(text) else None


def _too_large(limit_bytes: int) -> TooLarge:
    return TooLarge(f"The body is larger than {limit_bytes} bytes.")


def _read_length(declared: str) -> int:
    try:
        return int(declared)
    except ValueError:
        raise Invalid({}, "The Content-Length must be a number.") from None
