"""Both clients against a real server that answers in every way a server, or something on the way, can."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import pytest

from tollhouse.client import ApiError, AsyncClient, Client, NotAnswered, Retries
from tollhouse.client.answers import PaymentResponse

RETRIES = Retries(attempts=3, first_pause_seconds=0.001, longest_pause_seconds=0.002)
ANSWER = (
    b'{"payment":{"transactionId":"1","orderId":"2","status":"success","code":"0","amount":1.00},"consumer":{"id":"c"}}'
)
PROBLEM = b'{"message":"Refused.","errors":{}}'
HTML = b"<html>Bad gateway</html>"


def response(status: int, body: bytes = b"", *headers: bytes) -> bytes:
    """Write an HTTP response."""
    fields = b"".join(b"\r\n" + field for field in headers)
    return b"HTTP/1.1 %d X\r\nContent-Length: %d%s\r\nConnection: close\r\n\r\n%s" % (status, len(body), fields, body)


SUCCESS = response(201, ANSWER)
#: What a server does with a request; after any of it the client cannot know whether the request was carried out.
UNKNOWN = {
    "closes": b"",
    "cuts off": SUCCESS[:-20],
    "garbage": b"\x00\x01 no HTTP at all\r\n\r\n",
    "empty": response(201),
    "not JSON": response(200, HTML),
    "broken encoding": response(201, b"no gzip", b"Content-Encoding: gzip"),
    "redirect": response(302, b"", b"Location: http://127.0.0.1:1/"),
    "moved": response(308, b"", b"Location: /elsewhere"),
    **{str(status): response(status, PROBLEM) for status in (408, 409, 425, 429, 500, 501, 502, 503, 504, 507, 520)},
    **{f"{status} page": response(status, HTML) for status in (409, 429, 500, 502, 503, 504)},
}
REFUSED = {str(status): response(status, PROBLEM) for status in (400, 401, 403, 404, 405, 413, 415, 422)}


class Server:
    """Gives one connection after another its bytes, and remembers the request ids that it saw."""

    def __init__(self, script: Sequence[bytes]) -> None:
        self._script = list(script)
        self.request_ids: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while self._script:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += connection.recv(65536)
                fields = dict(line.split(b": ", 1) for line in head.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:])
                names = {name.lower(): value.decode() for name, value in fields.items()}
                self.request_ids.append(names[b"x-request-id"])
                connection.sendall(self._script.pop(0))
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(5)
                while connection.recv(65536):
                    pass

    def close(self) -> None:
        """Stop listening."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=5)
        self._listener.close()


@contextmanager
def serving(*script: bytes) -> Iterator[Server]:
    """Serve a script, one entry for each connection."""
    server = Server(script)
    try:
        yield server
    finally:
        server.close()


def void(kind: str, url: str) -> PaymentResponse:
    """Make a call with one of the clients."""
    if kind == "waiting":
        with Client(url, retries=RETRIES, timeout_seconds=5) as client:
            return client.void("1", request_id="order-1")

    async def send() -> PaymentResponse:
        async with AsyncClient(url, retries=RETRIES, timeout_seconds=5) as client:
            return await client.void("1", request_id="order-1")

    return asyncio.run(send())


@pytest.fixture(params=["waiting", "awaited"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which client."""
    return str(request.param)


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_outcome_is_not_a_refusal(kind: str, name: str) -> None:
    """An answer that does not say what became of the request raises NotAnswered with the id to repeat it under."""
    with (
        serving(*[UNKNOWN[name]] * 3) as server,
        pytest.raises(NotAnswered, match="same request_id, order-1") as caught,
    ):
        void(kind, server.url)
    assert caught.value.request_id == "order-1"
    assert set(server.request_ids) == {"order-1"}


@pytest.mark.parametrize("name", [name for name in UNKNOWN if name not in {"redirect", "moved"}])
def test_a_repeat_finds_the_answer(kind: str, name: str) -> None:
    """After an unknown outcome the client repeats the request under the same id, and returns the answer it gets."""
    with serving(UNKNOWN[name], SUCCESS) as server:
        assert void(kind, server.url).payment.is_approved
    assert server.request_ids == ["order-1", "order-1"]


@pytest.mark.parametrize("status", REFUSED)
def test_a_refusal_is_final(kind: str, status: str) -> None:
    """A 4xx of the gateway is raised at once, and the request is not sent again."""
    with serving(REFUSED[status]) as server, pytest.raises(ApiError, match=f"{status}: Refused") as caught:
        void(kind, server.url)
    assert caught.value.request_id == "order-1"
    assert len(server.request_ids) == 1


@pytest.mark.parametrize("status", ["401", "403", "404", "405"])
@pytest.mark.parametrize("name", ["closes", "503"])
def test_a_refused_repeat_leaves_the_outcome_unknown(kind: str, name: str, status: str) -> None:
    """A repeat that is refused for its caller or its path does not say what became of the first attempt."""
    with serving(UNKNOWN[name], REFUSED[status]) as server, pytest.raises(NotAnswered, match=status):
        void(kind, server.url)


def test_nobody_listens(kind: str) -> None:
    """A connection that is refused has no answer either."""
    with serving() as server:
        server.close()
        with pytest.raises(NotAnswered, match="No response arrived"):
            void(kind, server.url)
