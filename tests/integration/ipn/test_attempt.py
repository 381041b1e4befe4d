"""One POST to real endpoints on this machine: what arrives, what acknowledges, and what an endpoint cannot do to us."""

from __future__ import annotations

import asyncio
import gzip
import threading
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import aiohttp
import pytest
from aiohttp import web
from tests.support.callbacks import BODY, SECRET, hang, make_delivery, open_endpoint, secrets_of

from tollhouse.ipn.address import LIVE, STAGE, AddressPolicy
from tollhouse.ipn.attempt import MAX_ANSWER_BYTES, Limits, post_delivery
from tollhouse.ipn.model import Attempt
from tollhouse.ipn.session import AddressInfo, open_session
from tollhouse.ipn.signature import verify_webhook

#: For endpoints that answer, however busy this machine is; and for those that are to be given up.
PATIENT = Limits(connect_seconds=10, total_seconds=15)
QUICK = Limits(connect_seconds=0.2, total_seconds=0.3)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A session as stage has it."""
    async with open_session(STAGE) as session:
        yield session


async def post(
    session: aiohttp.ClientSession, url: str, *, policy: AddressPolicy = STAGE, limits: Limits = PATIENT
) -> Attempt:
    """Post an event once."""
    return await post_delivery(session, make_delivery(url), secrets_of=secrets_of, policy=policy, limits=limits)


async def test_same_bytes_arrive_signed(session: aiohttp.ClientSession) -> None:
    """The endpoint gets the stored bytes, as JSON, with signatures that verify, and the log has its address."""
    async with open_endpoint(202) as endpoint:
        attempt = await post(session, endpoint.url)
    [seen] = endpoint.seen
    assert seen.body == BODY
    assert seen.headers["Content-Type"] == "application/json"
    verify_webhook(
        SECRET,
        seen.headers["webhook-signature"],
        webhook_id=seen.headers["webhook-id"],
        timestamp=seen.headers["webhook-timestamp"],
        body=seen.body,
        now=time.time(),
    )
    assert (attempt.status, attempt.error) == (202, None)
    assert attempt.address == endpoint.url.removeprefix("http://").removesuffix("/ipn")
    assert abs(attempt.started_at - datetime.now(UTC)).total_seconds() < 5


async def test_redirect_is_not_followed(session: aiohttp.ClientSession) -> None:
    """A redirect is an answer that does not acknowledge; where it points to is never asked."""
    async with open_endpoint() as target:

        async def redirect(_request: web.Request) -> web.StreamResponse:
            raise web.HTTPTemporaryRedirect(target.url)

        async with open_endpoint(redirect) as endpoint:
            attempt = await post(session, endpoint.url)
    assert (attempt.status, attempt.error) == (307, "redirected")
    assert target.seen == []


async def test_hanging_endpoint_times_out(session: aiohttp.ClientSession) -> None:
    """An endpoint that accepts and says nothing, for ever, costs the total time, and is given up."""
    async with open_endpoint(hang) as endpoint:
        attempt = await post(session, endpoint.url, limits=QUICK)
    assert len(endpoint.seen) == 1
    assert (attempt.status, attempt.error) == (None, "timeout")
    assert attempt.duration_ms >= 250
    assert attempt.address is not None


async def test_refused_connection_is_a_failed_attempt(session: aiohttp.ClientSession) -> None:
    """Nobody listening there is named as such."""
    async with open_endpoint() as endpoint:
        pass
    attempt = await post(session, endpoint.url)
    assert (attempt.status, attempt.error) == (None, "connect_failed")


async def test_slow_body_acknowledges_by_its_status(session: aiohttp.ClientSession) -> None:
    """A 200 whose body never ends has acknowledged; its beginning is kept, and the end is not waited for."""

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"begun")
        return await hang(request)

    async with open_endpoint(drip) as endpoint:
        attempt = await post(session, endpoint.url, limits=QUICK)
    assert (attempt.status, attempt.error, attempt.excerpt) == (200, None, "begun")


async def test_big_body_is_read_to_the_limit_only(session: aiohttp.ClientSession) -> None:
    """Of an endless body no more is taken than the limit and what is on the way; 1 KiB of it is kept."""
    written = 0

    async def flood(request: web.Request) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse(status=500)
        await response.prepare(request)
        for _ in range(4_000):
            await response.write(b"x" * MAX_ANSWER_BYTES)
            written += MAX_ANSWER_BYTES
        return response

    async with open_endpoint(flood) as endpoint:
        attempt = await post(session, endpoint.url)
    assert (attempt.status, attempt.error, attempt.excerpt) == (500, "not_acknowledged", "x" * 1024)
    assert attempt.duration_ms < 1000 * PATIENT.total_seconds
    assert written < 32 * 1024 * 1024


async def test_compressed_answer_is_not_unpacked(session: aiohttp.ClientSession) -> None:
    """A small answer that would unpack to a large one stays small: it is kept as it came."""
    bomb = gzip.compress(b"\0" * 10_000_000)

    async def send_bomb(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    async with open_endpoint(send_bomb) as endpoint:
        attempt = await post(session, endpoint.url)
    assert attempt.error is None
    assert "\0" not in attempt.excerpt
    assert len(attempt.excerpt) <= 1024


async def test_kept_connection_that_was_closed_is_no_failure(session: aiohttp.ClientSession) -> None:
    """A connection that the endpoint closed while it was idle is replaced at once; the event arrives once."""
    served = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(len(BODY))
        served += 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        # The next request on this connection is met by its end.
        await reader.read(1)
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        attempts = [await post(session, url) for _ in range(2)]
    assert [attempt.error for attempt in attempts] == [None, None]
    assert served == 2


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", "disconnected"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "bad_answer"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, "bad_answer"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 50, "disconnected"),
    ],
    ids=["nothing", "no HTTP", "endless header", "never final"],
)
async def test_broken_answers_are_failed_attempts(session: aiohttp.ClientSession, answer: bytes, error: str) -> None:
    """Whatever comes back in place of an answer is a failed attempt with a name."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        attempt = await post(session, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    assert (attempt.status, attempt.error) == (None, error)


async def test_secret_that_cannot_be_had_is_our_failure(session: aiohttp.ClientSession) -> None:
    """Without a secret nothing is sent, and the attempt counts as failed for a reason of ours."""

    async def broken(_merchant_id: int) -> Sequence[str]:
        raise LookupError

    async with open_endpoint() as endpoint:
        delivery = make_delivery(endpoint.url)
        attempt = await post_delivery(session, delivery, secrets_of=broken, policy=STAGE, limits=QUICK)
    assert attempt.error == "internal"
    assert endpoint.seen == []


class Names:
    """A name server that answers as told, one answer after the other."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __call__(self, host: str, port: int, family: int) -> Sequence[AddressInfo]:
        """Answer with the next addresses."""
        del host, family
        self.asked += 1
        addresses = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            (10, 1, 6, "", (address, port, 0, 0)) if ":" in address else (2, 1, 6, "", (address, port))
            for address in addresses
        ]


async def post_by_name(names: Names, url: str, *, policy: AddressPolicy) -> Attempt:
    """Post to a host that a name server of ours knows."""
    async with open_session(policy, lookup=names) as session:
        return await post(session, url, policy=policy)


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["::1"], ["::ffff:8.8.8.8"], ["169.254.169.254"]]
)
async def test_live_refuses_names_that_lead_inside(addresses: list[str]) -> None:
    """A name one of whose addresses is not public is refused before anything is connected to."""
    attempt = await post_by_name(Names(addresses), "https://shop.example/", policy=LIVE)
    assert (attempt.error, attempt.address) == ("address_refused", None)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "127.1", "localhost@127.0.0.1"])
async def test_live_refuses_this_machine_by_address(host: str) -> None:
    """An address in place of a name is refused as well, though no name is looked up."""
    names = Names(["8.8.8.8"])
    attempt = await post_by_name(names, f"https://{host}:1/", policy=LIVE)
    assert (attempt.error, attempt.address, names.asked) == ("address_refused", None, 0)


async def test_socket_is_checked_though_the_url_passed() -> None:
    """The last check is at the socket: a session refuses an address even to a caller who checked nothing."""
    async with open_endpoint() as endpoint, open_session(AddressPolicy(https_only=False)) as session:
        attempt = await post(session, endpoint.url, policy=STAGE)
    assert attempt.error == "address_refused"
    assert endpoint.seen == []


async def test_checked_address_is_the_one_connected_to() -> None:
    """A name is looked up once for a connection, so what it says a moment later matters to nobody."""
    async with open_endpoint() as endpoint:
        port = endpoint.url.split(":")[2]
        names = Names(["127.0.0.1"], ["10.0.0.1"])
        async with open_session(STAGE, lookup=names) as session:
            first = await post(session, f"http://shop.example:{port}")
            assert (first.error, first.address, names.asked) == (None, f"127.0.0.1:{port.split('/')[0]}", 1)
            await asyncio.sleep(0)
        async with open_session(STAGE, lookup=names) as session:
            second = await post(session, f"http://shop.example:{port}")
    assert second.error == "address_refused"
    assert len(endpoint.seen) == 1


async def test_name_without_address_is_named() -> None:
    """A name that nobody knows is a failed attempt like another."""

    def unknown(_host: str, _port: int, _family: int) -> Sequence[AddressInfo]:
        raise OSError(-2, "Name or service not known")

    async with open_session(STAGE, lookup=unknown) as session:
        attempt = await post(session, "http://shop.example/")
    assert attempt.error == "dns_failed"


async def test_name_server_that_hangs_times_out() -> None:
    """A look-up that takes long is given up after the time for connecting, though its thread goes on."""
    answering = threading.Event()

    def slow(_host: str, _port: int, _family: int) -> Sequence[AddressInfo]:
        assert answering.wait(30)
        return []

    async with open_session(STAGE, lookup=slow) as session:
        attempt = await post(session, "http://shop.example/", limits=QUICK)
        answering.set()
    assert attempt.error == "connect_timeout"
    assert attempt.duration_ms < 30_000
