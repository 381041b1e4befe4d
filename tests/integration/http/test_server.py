"""The bounds of the server, tried with raw sockets."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.support.raw_http import HANG_SECONDS, Echo, Raw, exchange, serve

from tollhouse.http.serving.server import MAX_DISCARDED_BYTES, ServerLimits

#: Short, so that tests need not wait; the sweep looks once a second.
QUICK = ServerLimits(header_seconds=0.5, body_seconds=0.5, idle_seconds=1, write_seconds=0.5, linger_seconds=0.5)
GET = b"GET /ok HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
POST = b"POST /ok HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"


def status_of(answer: bytes) -> int:
    """Return the status of the first response of a connection; 0 where there is none."""
    return int(answer.split()[1]) if answer else 0


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", 0),
        (b"\r\n\r\n", 408),
        (b"GET /ok", 408),
        (b"GET /ok HTTP/1.1\r\nHost: a\r\nX-Slow: ", 408),
        (POST + b"Content-Length: 10\r\n\r\nhalf", 408),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhe", 408),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-Trailer: ", 408),
    ],
)
async def test_a_request_that_stays_unfinished_is_ended(sent: bytes, status: int) -> None:
    """A connection whose request never gets complete ends by itself, whichever part is missing."""
    async with serve(Echo(), QUICK) as port:
        assert status_of(await exchange(port, sent)) == status


async def test_a_drip_does_not_win_time() -> None:
    """Bytes that come one by one do not extend the time for headers."""
    async with serve(Echo(), QUICK) as port:
        connection = await Raw.open(port)
        reading = asyncio.create_task(connection.read())
        async with asyncio.timeout(HANG_SECONDS):
            await connection.send(b"GET /ok HTTP/1.1\r\nHost: a\r\nX-Drip: ")
            while not reading.done():
                await connection.send(b"a")
                await asyncio.sleep(0.05)
        assert status_of(await reading) == 408


async def test_an_idle_connection_is_ended() -> None:
    """A connection that is kept alive without a further request ends, and blank lines do not keep it."""
    async with serve(Echo(), QUICK) as port:
        connection = await Raw.open(port)
        await connection.send(b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await connection.read_response())[0] == 200
        await connection.send(b"\r\n")
        assert status_of(await connection.read()) == 408


async def test_a_silent_connection_is_closed_without_a_response() -> None:
    """A connection that is kept alive, and on which nothing more comes, is closed: nobody waits for a response."""
    async with serve(Echo(), QUICK) as port:
        connection = await Raw.open(port)
        await connection.send(b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await connection.read_response())[0] == 200
        assert await connection.read() == b""


async def test_a_header_with_a_line_break_is_not_sent() -> None:
    """A header that would end its line and begin another one is a fault of ours, and the client gets none of it."""

    async def forge(scope: Any, receive: Any, send: Any) -> None:
        del scope, receive
        headers = [(b"content-length", b"2"), (b"x-told", b"a\r\nX-Forged: 1")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ab"})

    async with serve(forge, QUICK) as port:
        assert await exchange(port, GET) == b""


async def test_a_slow_application_is_not_cut_off() -> None:
    """The time for a body ends with the body: an answer may take longer."""
    echo = Echo()
    async with serve(echo, QUICK) as port:
        connection = await Raw.open(port)
        await connection.send(b"POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab")
        await asyncio.sleep(2.5)
        echo.go_on.set()
        assert (await connection.read_response())[0] == 200
        connection.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /" + b"a" * 17_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET /ok HTTP/1.1\r\nHost: a\r\nX-Large: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (b"GET /ok HTTP/1.1\r\nHost: a\r\nX-Large: " + b"a" * 5_000_000, 431),
        (b"GET /ok HTTP/1.1\r\nHost: a\r\n" + b"A" * 5_000_000, 431),
        (b"GET /ok HTTP/1.1\r\nHost: a\r\n" + b"X-Many: 1\r\n" * 101 + b"\r\n", 431),
        (b"GET /ok HTTP/1.1\r\nHost: a\r\n" + b"X-Many: 1\r\n" * 200_000 + b"\r\n", 431),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X-Trailer: 1\r\n" * 101 + b"\r\n", 431),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-Trailer: " + b"a" * 1_000_000, 431),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n5;" + b"a" * 1_000_000, 431),
    ],
)
async def test_a_large_head_is_refused(sent: bytes, status: int) -> None:
    """Targets, headers, trailers and extensions of chunks have a bound, and a client that passes it is told so."""
    echo = Echo()
    async with serve(echo, QUICK) as port:
        assert status_of(await exchange(port, sent)) == status
    assert all(each["body"] == "gone" for each in echo.seen)


async def test_headers_up_to_the_bound_are_taken() -> None:
    """A hundred headers, and one of sixty thousand bytes, are no attack."""
    async with serve(Echo(), QUICK) as port:
        many = b"X-Many: 1\r\n" * 98
        assert status_of(await exchange(port, GET[:-2] + many + b"\r\n")) == 200
        assert status_of(await exchange(port, GET[:-2] + b"X-Large: " + b"a" * 60_000 + b"\r\n\r\n")) == 200


async def test_trailers_are_no_headers() -> None:
    """What follows a chunked body never reaches the application: it could authorize, or forge an address."""
    echo = Echo()
    async with serve(echo, QUICK) as port:
        trailers = b"Authorization: secret\r\nX-Forwarded-For: 10.0.0.1\r\nX-Request-ID: forged\r\n"
        sent = POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n" + trailers + b"\r\n"
        for pieces in ([sent], [sent[:-60], sent[-60:]], [sent[index : index + 1] for index in range(len(sent))]):
            connection = await Raw.open(port)
            for piece in pieces:
                await connection.send(piece)
                await asyncio.sleep(0)
            assert status_of(await connection.read()) == 200
            connection.close()
    for seen in echo.seen:
        names = {name for name, _ in seen["headers"]}
        assert names == {"host", "connection", "transfer-encoding"}
        assert seen["body"] == "ab"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400),
        (POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
        (POST + b"Content-Length: +5\r\n\r\nhello", 400),
        (POST + b"Content-Length: 5, 5\r\n\r\nhello", 400),
        (POST + b"Content-Length : 5\r\n\r\nhello", 400),
        (POST + b"Content-Length:\r\n\r\n", 400),
        (POST + b"Content-Length: 99999999999999999999\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (POST + b"Transfer-Encoding: identity\r\n\r\n", 501),
        (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
        (POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\nab\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n2\nab\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n", 400),
        (b"POST /ok HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET /ok HTTP/1.1\nHost: a\n\n", 400),
        (b"GET /ok HTTP/1.1\r\nHost: a\nX-Bare: 1\r\n\r\n", 400),
        (b"GET /ok HTTP/1.1\r\nHost: a\r\nX-Bare: 1\rX-Other: 2\r\n\r\n", 400),
        (b"GET /ok HTTP/1.1\r\nHost: a\r\nX-Folded: 1\r\n  2\r\n\r\n", 400),
        (b"GET /ok HTTP/1.1\r\nHost: a\r\nX-Null: \x00\r\n\r\n", 400),
        (b"GET /ok HTTP/1.1\r\n Host: a\r\n\r\n", 400),
        (b"GET /ok HTTP/1.1\r\n\r\n", 400),
        (b"GET /ok HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET /ok HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        (b"GET /ok HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
    ],
)
async def test_doubtful_framing_is_refused(sent: bytes, status: int) -> None:
    """A message whose end, name or host a proxy might read otherwise reaches no application."""
    echo = Echo()
    async with serve(echo, QUICK) as port:
        assert status_of(await exchange(port, sent + GET)) == status
    assert all(each["body"] == "gone" for each in echo.seen)


async def test_a_request_inside_an_upgrade_is_dropped() -> None:
    """No other protocol is spoken, and what follows an Upgrade on the connection is no second request."""
    echo = Echo()
    async with serve(echo, QUICK) as port:
        upgrade = b"GET /ok HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
        answer = await exchange(port, upgrade + GET)
    assert status_of(answer) == 200
    assert len(echo.seen) == 1


async def test_pipelined_requests_are_answered_in_order_up_to_a_bound() -> None:
    """A few requests may be sent at once; a flood of them ends the connection, and memory does not grow with it."""
    echo = Echo()
    async with serve(echo, QUICK) as port:
        one = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"
        few = await exchange(port, b"".join(one % number for number in range(8)) + GET)
        assert [f'"path": "/{number}"'.encode() in few for number in range(8)] == [True] * 8
        echo.seen.clear()
        flood = await exchange(port, b"".join(one % number for number in range(5_000)))
        assert flood.count(b"HTTP/1.1 200") <= 20
    assert len(echo.seen) <= 20


async def test_a_refusal_does_not_overtake_an_answer() -> None:
    """A malformed request behind a good one: the good one has its own answer, first and unmixed."""
    echo = Echo()
    async with serve(echo, QUICK) as port:
        connection = await Raw.open(port)
        await connection.send(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n" + b"nonsense\r\n\r\n")
        await asyncio.sleep(1.5)
        echo.go_on.set()
        answer = await connection.read()
    assert answer.startswith(b"HTTP/1.1 200")
    assert json.loads(answer.rpartition(b"\r\n\r\n")[2])["path"] == "/wait"


async def test_a_response_that_is_not_taken_ends_the_connection() -> None:
    """A client that asks for much and reads nothing does not keep it in memory."""
    async with serve(Echo(), QUICK) as port:
        connection = await Raw.open(port)
        await connection.send(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.sleep(2.5)
        assert len(await connection.read()) < len(Echo().large)


async def test_a_body_after_the_answer_is_read_up_to_a_bound() -> None:
    """A client that was refused early may finish sending and stay; one that never finishes is cut off."""
    async with serve(Echo(), ServerLimits(linger_seconds=0.5)) as port:
        connection = await Raw.open(port)
        await connection.send(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000)
        assert (await connection.read_response())[0] == 413
        await connection.send(GET)
        assert status_of(await connection.read()) == 200
        endless = b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n"
        answer = await exchange(port, endless + b"x" * (MAX_DISCARDED_BYTES + 1_000_000))
        assert status_of(answer) in {0, 413}  # a reset may take the answer with it


async def test_silent_connections_do_not_take_the_port_away() -> None:
    """Eleven hundred silent or unfinished connections leave the port to others, and to their own address."""
    bounds = ServerLimits(max_connections_per_address=256)
    async with serve(Echo(), bounds) as port:
        openings = [b"", b"GET /ok HTTP/1.1\r\nHo", POST + b"Content-Length: 10\r\n\r\nhalf"]
        attackers = []
        for number in range(1_100):
            attacker = await Raw.open(port, source="127.0.0.2")
            await attacker.send(openings[number % 3])
            attackers.append(attacker)
        assert status_of(await exchange(port, GET, source="127.0.0.1")) == 200
        assert status_of(await exchange(port, GET, source="127.0.0.2")) == 200
        for attacker in attackers:
            attacker.close()


async def test_the_port_as_a_whole_has_a_bound() -> None:
    """Silent connections from many addresses make way for requests too."""
    async with serve(Echo(), ServerLimits(max_connections=20)) as port:
        attackers = [await Raw.open(port, source=f"127.0.1.{number + 1}") for number in range(60)]
        assert status_of(await exchange(port, GET)) == 200
        for attacker in attackers:
            attacker.close()


async def test_requests_at_work_are_not_evicted() -> None:
    """An address all of whose connections are at work gets no further one, and loses none."""
    echo = Echo()
    async with serve(echo, ServerLimits(max_connections_per_address=3)) as port:
        workers = [await Raw.open(port) for _ in range(3)]
        for worker in workers:
            await worker.send(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        while len(echo.seen) < 3:  # noqa: ASYNC110 - the application only records
            await asyncio.sleep(0.01)
        assert await exchange(port, GET) == b""
        assert status_of(await exchange(port, GET, source="127.0.0.2")) == 200
        echo.go_on.set()
        assert [(await worker.read_response())[0] for worker in workers] == [200] * 3
        for worker in workers:
            worker.close()
