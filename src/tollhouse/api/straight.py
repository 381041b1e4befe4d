"""The straight way to the calls on which everything depends: paying, and making tokens.

The framework's routing, its request and its response take a third of the processor time of a `/tokenize`
(ADR 0009). Its handlers for these paths stay, for the document, for the other methods and for whoever serves the
application without this wrapper; they and this call the same function.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from tollhouse.api.problems import answer_defect, answer_refusal
from tollhouse.kernel.errors import Refusal

if TYPE_CHECKING:
    from litestar import Response

    from tollhouse.api.asgi import Application, Receive, Scope, Send
    from tollhouse.kernel.requests import Reply

JSON = (b"content-type", b"application/json")
REPLAYED = (b"idempotent-replay", b"true")


class ClientGone(Exception):
    """The client went away before its request had ended."""


class Peer(NamedTuple):
    """Who is at the other end of the connection."""

    host: str


class Headers:
    """The headers of a request, by their names in lower case."""

    __slots__ = ("_values",)

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in raw:
            self._values.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))

    def get(self, name: str, default: str = "") -> str:
        """Return the last header of a name."""
        values = self._values.get(name)
        return values[-1] if values else default

    def getall(self, name: str, default: list[str]) -> list[str]:
        """Return all headers of a name."""
        return self._values.get(name, default)


class Call:
    """A request, as far as those who read keys, addresses and bodies need one."""

    __slots__ = ("_receive", "headers", "scope")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.headers = Headers(scope["headers"])
        self._receive = receive

    @property
    def client(self) -> Peer | None:
        """Who is at the other end of the connection, if that can be told."""
        client = self.scope.get("client")
        return Peer(client[0]) if client else None

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes. Raises ClientGone."""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            yield message.get("body", b"")
            if not message.get("more_body"):
                return


Answerer = Callable[[Call], Awaitable["Reply"]]


class StraightWay:
    """Wraps an application: answers some calls itself, by method and path, and hands on the rest."""

    def __init__(self, app: Application, answerers: Mapping[tuple[str, str], Answerer]) -> None:
        self._app = app
        self._answerers = dict(answerers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        answer = self._answerers.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if answer is None:
            await self._app(scope, receive, send)
            return
        scope["path_template"] = scope["path"]
        call: Any = Call(scope, receive)
        try:
            reply = await answer(call)
        except Refusal as error:
            await send_problem(send, answer_refusal(call, error))
        except Exception as error:  # noqa: BLE001 - the last one who can answer
            await send_problem(send, answer_defect(call, error))
        else:
            headers = [JSON, REPLAYED] if reply.is_replay else [JSON]
            await _send(send, reply.status, reply.body, headers)


async def send_problem(send: Send, problem: Response[bytes]) -> None:
    """Send the answer to a request that was refused."""
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in problem.headers.items()]
    await _send(send, problem.status_code or 500, problem.content, [JSON, *headers])


async def _send(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
