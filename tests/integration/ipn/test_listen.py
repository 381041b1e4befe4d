"""`tollhouse listen` on a real port: forwarding, responses and output."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web
from rich.console import Console
from tests.support.callbacks import BODY, SECRET, make_delivery, open_endpoint, secrets_of
from tests.support.every_route import RUBBISH
from tests.support.raw_http import Raw

from tollhouse.cli.listen import ForwardImpossible, listen
from tollhouse.http.serving.ports import PortUnavailable, bind
from tollhouse.ipn.delivery.attempt import AttemptLimits, post_delivery
from tollhouse.ipn.delivery.session import open_session
from tollhouse.ipn.model import DeliveryAttempt
from tollhouse.kernel.urls import STAGE


@dataclass(frozen=True, slots=True)
class Listener:
    """A running listener and its output."""

    url: str
    screen: io.StringIO

    async def call(self) -> DeliveryAttempt:
        """Post an event to it as the gateway does."""
        async with open_session(STAGE) as session:
            attempt = await post_delivery(
                session,
                make_delivery(self.url + "any/path"),
                secrets_of=secrets_of,
                policy=STAGE,
                limits=AttemptLimits(),
            )
            assert attempt is not None
            return attempt

    @property
    def last_line(self) -> str:
        """The last printed line."""
        return self.screen.getvalue().splitlines()[-1]


@asynccontextmanager
async def run_listener(
    data_directory: Path, *, forward_to: str | None = None, secret: str | None = SECRET, shows_bodies: bool = False
) -> AsyncIterator[Listener]:
    """Run a listener on a free port."""
    stop, screen, addresses = asyncio.Event(), io.StringIO(), asyncio.Queue[str]()
    task = asyncio.create_task(
        listen(
            forward_to=forward_to,
            port=0,
            secret=secret,
            data_directory=data_directory,
            console=Console(file=screen, width=100),
            stop=stop,
            ready=addresses.put_nowait,
            shows_bodies=shows_bodies,
        )
    )
    yield Listener(await addresses.get(), screen)
    stop.set()
    await task


async def test_callback_is_acknowledged_and_shown(tmp_path: Path) -> None:
    """Without a server to forward to, everything is acknowledged; the line has status, IDs and the check."""
    async with run_listener(tmp_path) as listener:
        attempt = await listener.call()
    assert (attempt.status, attempt.error) == (200, None)
    for part in ("success", "transaction 12345", "✓ signature verified", "200"):
        assert part in listener.last_line
    assert listener.url in listener.screen.getvalue()


async def test_wrong_secret_shows(tmp_path: Path) -> None:
    """A callback with another secret is marked, and accepted in development."""
    async with run_listener(tmp_path, secret="another") as listener:
        attempt = await listener.call()
    assert attempt.error is None
    assert "✗ X-Signature is wrong" in listener.last_line


async def test_secret_of_the_demo_is_found(tmp_path: Path) -> None:
    """Beside a running demo no secret is needed."""
    (tmp_path / "demo.json").write_text(f'{{"ipnSecret": "{SECRET}"}}')
    async with run_listener(tmp_path, secret=None) as listener:
        await listener.call()
    assert "✓ signature verified" in listener.last_line


async def test_same_callback_is_passed_on(tmp_path: Path) -> None:
    """The server gets the same bytes and headers, and the gateway gets its refusal with Retry-After."""

    async def refuse(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=503, text="later", headers={"Retry-After": "7"})

    async with open_endpoint(refuse) as endpoint, run_listener(tmp_path, forward_to=endpoint.url) as listener:
        attempt = await listener.call()
    [seen] = endpoint.seen
    assert (seen.path, seen.body) == ("/ipn", BODY)
    named = {name.lower(): value for name, value in seen.headers.items()}
    assert named["webhook-id"] == "evt_7"
    assert "x-signature" in named
    assert "webhook-signature" in named
    assert named["user-agent"].startswith("Tollhouse/")
    assert seen.headers["Host"] in endpoint.url
    assert (attempt.status, attempt.excerpt, attempt.retry_after_seconds) == (503, "later", 7.0)
    assert "503 from your server" in listener.last_line


async def test_server_that_is_down_is_a_bad_gateway(tmp_path: Path) -> None:
    """If the server is down, the gateway gets 502 and will try again."""
    async with open_endpoint() as endpoint:
        pass
    async with run_listener(tmp_path, forward_to=endpoint.url) as listener:
        attempt = await listener.call()
    assert attempt.status == 502
    assert "not reached" in listener.last_line


async def test_taken_port_is_an_error(tmp_path: Path) -> None:
    """A used port is an error at once, which the command line reports."""
    async with run_listener(tmp_path) as listener:
        port = int(listener.url.rstrip("/").rpartition(":")[2])
        with pytest.raises(PortUnavailable, match="is used"):
            await listen(port=port, data_directory=tmp_path, console=Console(file=io.StringIO()))


@pytest.mark.parametrize(
    "forward_to", ["localhost:3000/ipn", "3000", "http://", "ftp://127.0.0.1/", "http://127.0.0.1:x/"]
)
async def test_an_address_that_is_none_is_told_at_once(tmp_path: Path, forward_to: str) -> None:
    """A malformed address ends the command with a message before any callback is lost."""
    with pytest.raises(ForwardImpossible, match="--forward-to must be a URL"):
        await listen(forward_to=forward_to, port=0, data_directory=tmp_path)


async def exchange(listener: Listener, sent: bytes) -> int:
    """Send bytes as they are, and return the status of the response."""
    connection = await Raw.open(int(listener.url.rstrip("/").rpartition(":")[2]))
    await connection.send(sent)
    status = (await connection.read_response())[0]
    connection.close()
    return status


async def test_no_rubbish_is_a_defect(tmp_path: Path) -> None:
    """A malformed body is accepted and shown without facts."""
    async with run_listener(tmp_path, shows_bodies=True) as listener:
        for body in (*RUBBISH, b"ipn=1&" * 40, b"sign=%ff&ipn=%00"):
            head = f"POST /ipn HTTP/1.1\r\nHost: a\r\nX-Signature: \xe9\r\nContent-Length: {len(body)}\r\n\r\n"
            assert await exchange(listener, head.encode("latin-1") + body) == 200
    assert "Traceback" not in listener.screen.getvalue()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n" + b"x" * 1_048_577, 413),
        (b"POST / HTTP/1.1\r\nHost: a\r\n" + b"X-Many: 1\r\n" * 101 + b"\r\n", 431),
        (b"POST / HTTP/1.1\r\nHost: a\r\nX-Large: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (b"POST /" + b"a" * 17_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ],
)
async def test_the_listener_has_the_servers_bounds(tmp_path: Path, sent: bytes, status: int) -> None:
    """A listener limits methods, bodies, headers and framing as the gateway does."""
    async with run_listener(tmp_path) as listener:
        assert await exchange(listener, sent) == status


async def test_a_listener_that_is_cancelled_frees_its_port(tmp_path: Path) -> None:
    """After Ctrl-C the port can be used again at once."""
    addresses = asyncio.Queue[str]()
    console = Console(file=io.StringIO())
    task = asyncio.create_task(listen(port=0, data_directory=tmp_path, console=console, ready=addresses.put_nowait))
    port = int((await addresses.get()).rstrip("/").rpartition(":")[2])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with bind("127.0.0.1", port) as bound:
        assert bound.number == port
