"""One POST to real endpoints on this machine: content, acknowledgement, and protection from endpoints."""

from __future__ import annotations

import asyncio
import gzip
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from aiohttp import web
from tests.support.callbacks import BODY, SECRET, hang, make_delivery, open_endpoint, secrets_of

from tollhouse.ipn.delivery.attempt import MAX_RESPONSE_BYTES, AttemptLimits, post_delivery
from tollhouse.ipn.delivery.names import AddressInfo
from tollhouse.ipn.delivery.session import MAX_ATTEMPTS_AT_ADDRESS, CallbackSession, open_session
from tollhouse.ipn.message.signature import verify_webhook
from tollhouse.ipn.model import DeliveryAttempt
from tollhouse.kernel.urls import LIVE, STAGE, AddressPolicy

#: For endpoints that answer, however busy this machine is; and for those that are to be given up.
PATIENT = AttemptLimits(connect_seconds=10, total_seconds=15)
QUICK = AttemptLimits(connect_seconds=0.2, total_seconds=0.3)


@pytest.fixture
async def session() -> AsyncIterator[CallbackSession]:
    """A session as in stage."""
    async with open_session(STAGE) as session:
        yield session


async def post(
    session: CallbackSession, url: str, *, policy: AddressPolicy = STAGE, limits: AttemptLimits = PATIENT
) -> DeliveryAttempt:
    """Post an event once."""
    attempt = await post_delivery(session, make_delivery(url), secrets_of=secrets_of, policy=policy, limits=limits)
    assert attempt is not None
    return attempt


async def test_same_bytes_arrive_signed(session: CallbackSession) -> None:
    """The endpoint gets the stored bytes as JSON with valid signatures, and the log has its address."""
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


async def test_redirect_is_not_followed(session: CallbackSession) -> None:
    """A redirect does not acknowledge, and its target is not called."""
    async with open_endpoint() as target:

        async def redirect(_request: web.Request) -> web.StreamResponse:
            raise web.HTTPTemporaryRedirect(target.url)

        async with open_endpoint(redirect) as endpoint:
            attempt = await post(session, endpoint.url)
    assert (attempt.status, attempt.error) == (307, "redirected")
    assert target.seen == []


async def test_hanging_endpoint_times_out(session: CallbackSession) -> None:
    """An attempt at an endpoint that never responds ends after the total time-out."""
    async with open_endpoint(hang) as endpoint:
        attempt = await post(session, endpoint.url, limits=QUICK)
    assert len(endpoint.seen) == 1
    assert (attempt.status, attempt.error) == (None, "timeout")
    assert attempt.duration_ms >= 250
    assert attempt.address is not None


async def test_refused_connection_is_a_failed_attempt(session: CallbackSession) -> None:
    """A closed port has an error of its own."""
    async with open_endpoint() as endpoint:
        pass
    attempt = await post(session, endpoint.url)
    assert (attempt.status, attempt.error) == (None, "connect_failed")


async def test_slow_body_acknowledges_by_its_status(session: CallbackSession) -> None:
    """A 200 with an endless body acknowledges; its beginning is stored, and its end is not awaited."""

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"begun")
        return await hang(request)

    async with open_endpoint(drip) as endpoint:
        attempt = await post(session, endpoint.url, limits=QUICK)
    assert (attempt.status, attempt.error, attempt.excerpt) == (200, None, "begun")


async def test_big_body_is_read_to_the_limit_only(session: CallbackSession) -> None:
    """An endless body is read up to the limit, and 1 KiB of it is stored."""
    written = 0

    async def flood(request: web.Request) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse(status=500)
        await response.prepare(request)
        for _ in range(4_000):
            await response.write(b"x" * MAX_RESPONSE_BYTES)
            written += MAX_RESPONSE_BYTES
        return response

    async with open_endpoint(flood) as endpoint:
        attempt = await post(session, endpoint.url)
    assert (attempt.status, attempt.error, attempt.excerpt) == (500, "not_acknowledged", "x" * 1024)
    assert attempt.duration_ms < 1000 * PATIENT.total_seconds
    assert written < 32 * 1024 * 1024


async def test_compressed_answer_is_not_unpacked(session: CallbackSession) -> None:
    """A compressed response is stored as it was sent."""
    bomb = gzip.compress(b"\0" * 10_000_000)

    async def send_bomb(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    async with open_endpoint(send_bomb) as endpoint:
        attempt = await post(session, endpoint.url)
    assert attempt.error is None
    assert "\0" not in attempt.excerpt
    assert len(attempt.excerpt) <= 1024


async def test_kept_connection_that_was_closed_is_no_failure(session: CallbackSession) -> None:
    """A connection that the endpoint closed while idle is replaced at once; the event arrives once."""
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


@asynccontextmanager
async def serve(talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[str]:
    """Open a server that sends raw bytes, and yield its URL."""
    talking: set[asyncio.Task[None]] = set()

    async def talk_to_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talking.add(task)
        try:
            await talk(reader, writer)
        except (asyncio.CancelledError, asyncio.IncompleteReadError):
            pass
        finally:
            talking.discard(task)
            writer.close()

    server = await asyncio.start_server(talk_to_end, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        for task in tuple(talking):
            task.cancel()
        await asyncio.sleep(0.01)


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """Read a whole request, and return its header."""
    header = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(len(BODY))
    return header


async def test_all_kept_connections_close_at_once(session: CallbackSession) -> None:
    """If an endpoint has closed all kept connections, each event still arrives at its first attempt.

    The second try opens a new connection, so that it cannot use another closing one.
    """
    first = asyncio.Barrier(5)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        header = await read_request(reader)
        if b"connection: close" not in header.lower():
            await first.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await reader.read(1)  # the next request on this connection is met by its end
        writer.transport.abort()

    async with serve(talk) as url:
        await asyncio.gather(*(post(session, url) for _ in range(5)))
        # One after the other: the others of the five are still kept when a second try begins.
        attempts = [await post(session, url) for _ in range(4)]
    assert [attempt.error for attempt in attempts] == [None] * 4


async def test_both_tries_share_one_deadline(session: CallbackSession) -> None:
    """An attempt with a hanging second try ends at the time-out of the whole attempt."""
    served = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        served += 1
        await read_request(reader)
        if served == 1:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            await read_request(reader)
            await asyncio.sleep(0.4)
            writer.transport.abort()
        else:
            await asyncio.Event().wait()

    limits = AttemptLimits(connect_seconds=2, total_seconds=0.6)
    async with serve(talk) as url:
        assert (await post(session, url)).error is None
        attempt = await post(session, url, limits=limits)
    assert (attempt.error, served) == ("timeout", 2)
    assert attempt.duration_ms < 900  # the two tries would take 1000 together


async def test_second_try_is_signed_again(session: CallbackSession) -> None:
    """The second try reads secrets and time again, so that a listener does not reject it as old."""
    headers: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        headers.append(await read_request(reader))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        if len(headers) == 1:
            headers.append(await read_request(reader))
            secrets[0] = "rotated"
            writer.transport.abort()

    secrets = [SECRET]

    async def rotating(_merchant_id: int) -> Sequence[str]:
        return list(secrets)

    async with serve(talk) as url:
        for _ in range(2):
            delivery = make_delivery(url)
            assert await post_delivery(session, delivery, secrets_of=rotating, policy=STAGE, limits=PATIENT)
    names = {b"webhook-signature", b"x-signature"}
    signed = [
        {line for line in header.lower().split(b"\r\n") if line.partition(b":")[0] in names} for header in headers
    ]
    assert len(signed) == 3
    assert not signed[1] & signed[2]


HEADER = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BAD_BODIES = [
    HEADER + b"zz\r\nnot a size\r\n",
    HEADER + b"5\r\nhello!!\r\n0\r\n\r\n",
    HEADER + b"5\r\nhe",
    HEADER,
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabcdefgh nonsense\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" + HEADER + b"zz\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
]


@pytest.mark.parametrize("answer", BAD_BODIES)
@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("resets", [False, True])
async def test_bad_body_acknowledges_by_its_status(
    session: CallbackSession, answer: bytes, size: int, *, resets: bool
) -> None:
    """A 200 with an incomplete or malformed body counts as 200, in any split into packets."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for begin in range(0, len(answer), size):
            writer.write(answer[begin : begin + size])
            await asyncio.sleep(0)
        if resets:
            await asyncio.sleep(0.05)
            writer.transport.abort()
        else:
            writer.close()

    async with serve(talk) as url:
        attempt = await post(session, url)
    assert (attempt.status, attempt.error) == (200, None)


async def test_address_is_called_byte_for_byte(session: CallbackSession) -> None:
    """An endpoint gets path and query as the merchant wrote them, and no fragment."""
    lines: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append((await read_request(reader)).split(b"\r\n")[0])
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    rest = "ipn/../a//b?back=https%3A%2F%2Fshop.example%2Fx%3Fa%3D1&sig=Zm9v%2Fw%3D%3D&e=%7e"
    async with serve(talk) as url:
        for path in (rest, rest + "#fragment", "x?", "\u00fc"):
            await post(session, url + path)
    assert lines == [f"POST /{path} HTTP/1.1".encode() for path in (rest, rest, "x?", "%C3%BC")]


async def test_one_merchant_has_few_attempts_at_one_address() -> None:
    """A merchant has at most sixteen attempts at one address; more are released, and other merchants are unaffected."""
    async with open_endpoint(hang) as endpoint, open_session(STAGE, lookup=Names(["127.0.0.1"])) as session:

        async def attempt(merchant_id: int, name: str) -> DeliveryAttempt | None:
            url = endpoint.url.replace("127.0.0.1", f"{name}.example")
            limits = AttemptLimits(connect_seconds=10, total_seconds=2, slot_seconds=0.2)
            delivery = make_delivery(url, merchant_id=merchant_id)
            return await post_delivery(session, delivery, secrets_of=secrets_of, policy=STAGE, limits=limits)

        made = await asyncio.gather(*(attempt(1, str(name)) for name in range(20)), attempt(2, "x"))
    assert made.count(None) == 4
    assert made[-1] is not None
    assert endpoint.most_under_way == MAX_ATTEMPTS_AT_ADDRESS + 1
    assert len(session.slots) == 0


async def test_lookups_of_one_merchant_keep_no_other_waiting() -> None:
    """A silent name server blocks only the lookups of its own merchant."""
    answering = threading.Event()

    def lookup(host: str, port: int, _family: int) -> Sequence[AddressInfo]:
        if host.startswith("silent"):
            assert answering.wait(30)
        return [(2, 1, 6, "", ("127.0.0.1", port))]

    async with open_endpoint() as endpoint, open_session(STAGE, lookup=lookup) as session:
        port = endpoint.url.split(":")[2]

        async def attempt(merchant_id: int, host: str) -> DeliveryAttempt | None:
            delivery = make_delivery(f"http://{host}:{port}", merchant_id=merchant_id)
            limits = QUICK if merchant_id == 1 else PATIENT
            return await post_delivery(session, delivery, secrets_of=secrets_of, policy=STAGE, limits=limits)

        silent = [asyncio.create_task(attempt(1, f"silent-{number}.example")) for number in range(200)]
        await asyncio.sleep(0)
        other = await attempt(2, "shop.example")
        failed = await asyncio.gather(*silent)
        answering.set()
    assert other is not None
    assert other.error is None
    assert {attempt.error for attempt in failed if attempt} == {"connect_timeout"}


async def test_names_are_remembered_for_a_short_time() -> None:
    """A name is resolved once for consecutive attempts with new connections."""

    async def close(_request: web.Request) -> web.StreamResponse:
        return web.Response(headers={"Connection": "close"})

    names = Names(["127.0.0.1"])
    async with open_endpoint(close) as endpoint, open_session(STAGE, lookup=names) as session:
        for path in "abc":
            await post(session, endpoint.url.replace("127.0.0.1", "shop.example") + path)
    assert names.asked == 1
    assert len(endpoint.seen) == 3


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
async def test_broken_answers_are_failed_attempts(session: CallbackSession, answer: bytes, error: str) -> None:
    """Any malformed response is a failed attempt with an error."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        attempt = await post(session, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    assert (attempt.status, attempt.error) == (None, error)


async def test_secret_that_cannot_be_had_is_our_failure(session: CallbackSession) -> None:
    """Without a secret nothing is sent, and the attempt has the error `internal`."""

    async def broken(_merchant_id: int) -> Sequence[str]:
        raise LookupError

    async with open_endpoint() as endpoint:
        delivery = make_delivery(endpoint.url)
        attempt = await post_delivery(session, delivery, secrets_of=broken, policy=STAGE, limits=QUICK)
    assert attempt is not None
    assert attempt.error == "internal"
    assert endpoint.seen == []


class Names:
    """A name server with given responses, one after the other."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __call__(self, host: str, port: int, family: int) -> Sequence[AddressInfo]:
        """Return the next addresses."""
        del host, family
        self.asked += 1
        addresses = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            (10, 1, 6, "", (address, port, 0, 0)) if ":" in address else (2, 1, 6, "", (address, port))
            for address in addresses
        ]


async def post_by_name(names: Names, url: str, *, policy: AddressPolicy) -> DeliveryAttempt:
    """Post to a host that our name server knows."""
    async with open_session(policy, lookup=names) as session:
        return await post(session, url, policy=policy)


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["::1"], ["::ffff:8.8.8.8"], ["169.254.169.254"]]
)
async def test_live_refuses_names_that_lead_inside(addresses: list[str]) -> None:
    """A name with a non-public address is refused before any connection."""
    attempt = await post_by_name(Names(addresses), "https://shop.example/", policy=LIVE)
    assert (attempt.error, attempt.address) == ("address_refused", None)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "127.1", "localhost@127.0.0.1"])
async def test_live_refuses_this_machine_by_address(host: str) -> None:
    """A non-public address in a URL is refused too, without a lookup."""
    names = Names(["8.8.8.8"])
    attempt = await post_by_name(names, f"https://{host}:1/", policy=LIVE)
    assert (attempt.error, attempt.address, names.asked) == ("address_refused", None, 0)


async def test_socket_is_checked_though_the_url_passed() -> None:
    """The last check is at the socket: a session refuses an address for every caller."""
    async with open_endpoint() as endpoint, open_session(AddressPolicy(https_only=False)) as session:
        attempt = await post(session, endpoint.url, policy=STAGE)
    assert attempt.error == "address_refused"
    assert endpoint.seen == []


async def test_checked_address_is_the_one_connected_to() -> None:
    """A name is resolved once for a connection, so a later change has no effect."""
    async with open_endpoint() as endpoint:
        port = endpoint.url.split(":")[2]
        names = Names(["127.0.0.1"], ["169.254.169.254"])
        async with open_session(STAGE, lookup=names) as session:
            first = await post(session, f"http://shop.example:{port}")
            assert (first.error, first.address, names.asked) == (None, f"127.0.0.1:{port.split('/')[0]}", 1)
            await asyncio.sleep(0)
        async with open_session(STAGE, lookup=names) as session:
            second = await post(session, f"http://shop.example:{port}")
    assert second.error == "address_refused"
    assert len(endpoint.seen) == 1


async def test_name_without_address_is_named() -> None:
    """An unknown name is a failed attempt with its own error."""

    def unknown(_host: str, _port: int, _family: int) -> Sequence[AddressInfo]:
        raise OSError(-2, "Name or service not known")

    async with open_session(STAGE, lookup=unknown) as session:
        attempt = await post(session, "http://shop.example/")
    assert attempt.error == "dns_failed"


async def test_name_server_that_hangs_times_out() -> None:
    """A slow lookup ends after the time-out for connecting, although its thread continues."""
    answering = threading.Event()

    def slow(_host: str, _port: int, _family: int) -> Sequence[AddressInfo]:
        assert answering.wait(30)
        return []

    async with open_session(STAGE, lookup=slow) as session:
        attempt = await post(session, "http://shop.example/", limits=QUICK)
        answering.set()
    assert attempt.error == "connect_timeout"
    assert attempt.duration_ms < 30_000
