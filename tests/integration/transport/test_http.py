"""The seam over HTTP: what is known when it fails."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tollhouse.kernel.clock import boot_seconds
from tollhouse.transport.http import MAX_CONNECTIONS, MAX_RESPONSE_BYTES, HttpTransport
from tollhouse.transport.model import NoResponse, RequestNotSent

Answering = Callable[[asyncio.StreamWriter], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


@asynccontextmanager
async def party(
    answer: Answering, *, requests: list[bytes] | None = None, max_connections: int = MAX_CONNECTIONS
) -> AsyncIterator[HttpTransport]:
    """Run an outside party that reads a request and answers as it likes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
                (requests if requests is not None else []).append(head + await reader.readexactly(length))
                await answer(writer)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    transport = HttpTransport(
        f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/base/", max_connections=max_connections
    )
    yield transport
    await transport.close()
    server.close()
    await server.wait_closed()


def soon() -> float:
    """Return a deadline for sending that no test reaches."""
    return boot_seconds() + 60


def whole(body: bytes) -> Answering:
    """Answer with a body in one piece."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD % len(body) + body)

    return answer


async def test_an_answer() -> None:
    """A body is posted as JSON to a path below the base, and the answer's body comes back."""
    requests: list[bytes] = []
    async with party(whole(b'{"ok":1}'), requests=requests) as transport:
        assert await transport.post("/there", b'{"a":1}', timeout_seconds=2, send_before=soon()) == b'{"ok":1}'
        assert await transport.post("/there", b'{"a":2}', timeout_seconds=2, send_before=soon()) == b'{"ok":1}'
    assert requests[0].startswith(b"POST /base/there HTTP/1.1")
    assert b"application/json" in requests[0]
    assert requests[1].endswith(b'{"a":2}')


async def test_an_answer_in_pieces() -> None:
    """An answer that comes in several packets is read to its end."""
    body = b'{"reference":"' + b"x" * 3000 + b'"}'

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD % len(body))
        for start in range(0, len(body), 700):
            writer.write(body[start : start + 700])
            await writer.drain()
            await asyncio.sleep(0.01)

    async with party(answer) as transport:
        assert await transport.post("/", b"{}", timeout_seconds=2, send_before=soon()) == body


@pytest.mark.parametrize("length", [0, MAX_RESPONSE_BYTES])
async def test_answers_up_to_the_bound(length: int) -> None:
    """An answer of the longest length is read, and an empty one too."""
    async with party(whole(b"x" * length)) as transport:
        assert len(await transport.post("/", b"{}", timeout_seconds=2, send_before=soon())) == length


async def status_500(writer: asyncio.StreamWriter) -> None:
    """Answer with an error."""
    writer.write(b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\n{}")


async def redirect(writer: asyncio.StreamWriter) -> None:
    """Send the caller elsewhere."""
    writer.write(b"HTTP/1.1 307 There\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n")


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close without a word."""
    writer.close()


async def reset(writer: asyncio.StreamWriter) -> None:
    """Reset the connection."""
    writer.transport.abort()


async def hang_up_in_the_middle(writer: asyncio.StreamWriter) -> None:
    """Promise more than is sent."""
    writer.write(HEAD % 100 + b'{"ok"')
    writer.close()


async def silence(writer: asyncio.StreamWriter) -> None:
    """Say nothing for long."""
    del writer
    await asyncio.sleep(1)


async def nonsense(writer: asyncio.StreamWriter) -> None:
    """Speak something else."""
    writer.write(b"220 smtp.example ESMTP\r\n\r\n")
    writer.close()


@pytest.mark.parametrize(
    "answer",
    [
        status_500,
        redirect,
        hang_up,
        reset,
        hang_up_in_the_middle,
        silence,
        nonsense,
        whole(b"x" * (MAX_RESPONSE_BYTES + 1)),
    ],
)
async def test_whatever_is_no_answer(answer: Answering) -> None:
    """After the request has left, anything but a whole answer with status 200 says nothing of what happened."""
    requests: list[bytes] = []
    async with party(answer, requests=requests) as transport:
        with pytest.raises(NoResponse):
            await transport.post("/", b"{}", timeout_seconds=0.2, send_before=soon())
    assert len(requests) == 1


async def test_nobody_there() -> None:
    """A refused connection is a message that surely did not leave."""
    async with party(whole(b"{}")) as transport:
        nobody = HttpTransport(transport._base_url)  # noqa: SLF001 - a port that is free again in a moment
    with pytest.raises(RequestNotSent):
        await nobody.post("/", b"{}", timeout_seconds=2, send_before=soon())
    await nobody.close()


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Card data takes no way that the environment suggests."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with party(whole(b"{}")) as transport:
        assert await transport.post("/", b"{}", timeout_seconds=2, send_before=soon()) == b"{}"


# What is sent once more


def closing_idle_connections(then: Answering) -> Answering:
    """Answer the first request of a connection, and close on the second; from the third on as told."""
    answered: set[int] = set()

    async def answer(writer: asyncio.StreamWriter) -> None:
        if id(writer.transport) in answered:
            writer.transport.abort()
        elif len(answered) < 2:
            answered.add(id(writer.transport))
            await whole(b"{}")(writer)
        else:
            await then(writer)

    return answer


async def keep_two_connections(transport: HttpTransport) -> None:
    """Leave two idle connections behind, so that a second try could meet another one of the kind."""
    posts = [transport.post("/", b"{}", timeout_seconds=9, send_before=soon()) for _ in range(2)]
    assert await asyncio.gather(*posts) == [b"{}"] * 2


async def test_repeatable_message_survives_a_closed_idle_connection() -> None:
    """A message that does no more when it arrives twice goes once more, on a connection that was not open before."""
    requests: list[bytes] = []
    async with party(closing_idle_connections(whole(b'{"ok":1}')), requests=requests) as transport:
        await keep_two_connections(transport)
        answer = await transport.post("/", b"{}", timeout_seconds=9, send_before=soon(), is_repeatable=True)
        assert answer == b'{"ok":1}'
    assert len(requests) == 4


async def test_request_for_money_is_not_repeated() -> None:
    """A message that may have arrived is not sent again."""
    requests: list[bytes] = []
    async with party(closing_idle_connections(whole(b"{}")), requests=requests) as transport:
        await keep_two_connections(transport)
        with pytest.raises(NoResponse):
            await transport.post("/", b"{}", timeout_seconds=9, send_before=soon())
    assert len(requests) == 3


async def test_second_try_has_what_is_left_of_the_time() -> None:
    """Both tries together keep to the time of one, and the message counts as sent."""
    requests: list[bytes] = []

    async def answer(writer: asyncio.StreamWriter) -> None:
        if len(requests) == 1:
            await whole(b"{}")(writer)
        elif len(requests) == 2:
            await asyncio.sleep(0.4)
            writer.transport.abort()
        else:
            await asyncio.Event().wait()

    async with party(answer, requests=requests) as transport:
        await transport.post("/", b"{}", timeout_seconds=9, send_before=soon())
        begun = time.monotonic()
        with pytest.raises(NoResponse):
            await transport.post("/", b"{}", timeout_seconds=0.6, send_before=soon(), is_repeatable=True)
        assert time.monotonic() - begun < 5
    assert len(requests) == 3


async def test_new_connection_that_breaks_is_not_tried_again() -> None:
    """A party that hangs up at once is down, or means it."""
    requests: list[bytes] = []
    async with party(reset, requests=requests) as transport:
        with pytest.raises(NoResponse):
            await transport.post("/", b"{}", timeout_seconds=9, send_before=soon(), is_repeatable=True)
    assert len(requests) == 1


# What surely did not leave


async def test_a_deadline_that_has_passed() -> None:
    """Past its deadline nothing is sent, over a new connection or one that is open."""
    requests: list[bytes] = []
    async with party(whole(b"{}"), requests=requests) as transport:
        for count in (0, 1):
            with pytest.raises(RequestNotSent):
                await transport.post("/", b"{}", timeout_seconds=2, send_before=boot_seconds())
            assert len(requests) == count
            await transport.post("/", b"{}", timeout_seconds=2, send_before=soon())


async def test_a_deadline_that_passes_while_a_name_is_looked_up() -> None:
    """The deadline is checked once the connection is there: a process that was paused on the way sends nothing."""
    requests: list[bytes] = []
    loop = asyncio.get_running_loop()
    async with party(whole(b"{}"), requests=requests) as transport:
        sending = asyncio.create_task(transport.post("/", b"{}", timeout_seconds=2, send_before=boot_seconds() + 0.2))
        # Blocking the loop stands for SIGSTOP: it begins before the connection is made and ends past the deadline.
        loop.call_soon(time.sleep, 0.3)
        with pytest.raises(RequestNotSent):
            await sending
        await transport.post("/last", b"{}", timeout_seconds=2, send_before=soon())
    assert len(requests) == 1


@pytest.mark.parametrize("host", ["a." * 130 + "localhost", "a..localhost", f"{'x' * 64}.localhost"])
async def test_a_name_that_leads_nowhere(host: str) -> None:
    """A name that cannot be looked up, or is none, got nothing of the message."""
    transport = HttpTransport(f"http://{host}:9/base")
    with pytest.raises(RequestNotSent):
        await transport.post("/", b"{}", timeout_seconds=2, send_before=boot_seconds() + 5)
    await transport.close()


async def test_waiting_for_a_place() -> None:
    """A message for which there is no connection by its deadline is not sent; one that gets its place in time is."""
    requests: list[bytes] = []
    release = asyncio.Event()

    async def answer(writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.write(HEAD % 2 + b"{}")

    async with party(answer, requests=requests, max_connections=2) as transport:
        first = [
            asyncio.create_task(transport.post("/", b"{}", timeout_seconds=60, send_before=soon())) for _ in range(2)
        ]
        patient = asyncio.create_task(transport.post("/", b"{}", timeout_seconds=60, send_before=soon()))
        hasty = [transport.post("/", b"{}", timeout_seconds=60, send_before=boot_seconds() + 0.1) for _ in range(20)]
        results = await asyncio.gather(*hasty, return_exceptions=True)
        assert {type(result) for result in results} == {RequestNotSent}
        assert len(requests) == 2
        release.set()
        assert await asyncio.gather(*first, patient) == [b"{}"] * 3
    assert len(requests) == 3


async def test_the_time_for_the_answer_begins_when_it_is_sent() -> None:
    """Time in which a place was waited for is not taken from the answer's."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)
        writer.write(HEAD % 2 + b"{}")

    async with party(answer, max_connections=1) as transport:
        posts = [transport.post("/", b"{}", timeout_seconds=0.9, send_before=soon()) for _ in range(5)]
        assert await asyncio.gather(*posts) == [b"{}"] * 5


async def test_no_encrypted_connection() -> None:
    """A party that does not speak TLS, or breaks off while it is negotiated, got nothing of the message."""
    greetings: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        greetings.append(await reader.read(100))
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" if len(greetings) == 1 else b"")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    transport = HttpTransport(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    for _ in range(2):
        with pytest.raises(RequestNotSent):
            await transport.post("/", b"{}", timeout_seconds=2, send_before=soon())
    await transport.close()
    server.close()
    await server.wait_closed()


async def test_a_connection_that_takes_too_long() -> None:
    """A party whose port is full does not take the connection by the deadline: nothing was sent."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.settimeout(0)
            each.connect_ex(("127.0.0.1", port))
        transport = HttpTransport(f"http://127.0.0.1:{port}")
        with pytest.raises(RequestNotSent):
            await transport.post("/", b"{}", timeout_seconds=60, send_before=boot_seconds() + 0.3)
        await transport.close()
        for each in waiting:
            each.close()


async def test_message_on_closed_kept_connection_is_not_repeated() -> None:
    """A message written to a connection that the party had closed may have been read: it is not sent again."""
    requests: list[bytes] = []

    async def answer(writer: asyncio.StreamWriter) -> None:
        if len(requests) == 1:
            writer.write(HEAD % 2 + b"{}")
        else:
            writer.transport.abort()

    async with party(answer, requests=requests) as transport:
        await transport.post("/", b"{}", timeout_seconds=2, send_before=soon())
        with pytest.raises(NoResponse):
            await transport.post("/", b"{}", timeout_seconds=2, send_before=soon())
    assert len(requests) == 2
