"""The seam over HTTP: what is known when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tollhouse.transport.http import MAX_ANSWER_BYTES, HttpTransport
from tollhouse.transport.model import NoAnswer, NotSent

Answering = Callable[[asyncio.StreamWriter], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


@asynccontextmanager
async def party(answer: Answering, *, requests: list[bytes] | None = None) -> AsyncIterator[HttpTransport]:
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
    transport = HttpTransport(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/base/")
    yield transport
    await transport.close()
    server.close()
    await server.wait_closed()


def whole(body: bytes) -> Answering:
    """Answer with a body in one piece."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD % len(body) + body)

    return answer


async def test_an_answer() -> None:
    """A body is posted as JSON to a path below the base, and the answer's body comes back."""
    requests: list[bytes] = []
    async with party(whole(b'{"ok":1}'), requests=requests) as transport:
        assert await transport.post("/there", b'{"a":1}', timeout_seconds=2) == b'{"ok":1}'
        assert await transport.post("/there", b'{"a":2}', timeout_seconds=2) == b'{"ok":1}'
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
        assert await transport.post("/", b"{}", timeout_seconds=2) == body


@pytest.mark.parametrize("length", [0, MAX_ANSWER_BYTES])
async def test_answers_up_to_the_bound(length: int) -> None:
    """An answer of the longest length is read, and an empty one too."""
    async with party(whole(b"x" * length)) as transport:
        assert len(await transport.post("/", b"{}", timeout_seconds=2)) == length


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
        whole(b"x" * (MAX_ANSWER_BYTES + 1)),
    ],
)
async def test_whatever_is_no_answer(answer: Answering) -> None:
    """After the request has left, anything but a whole answer with status 200 says nothing of what happened."""
    requests: list[bytes] = []
    async with party(answer, requests=requests) as transport:
        with pytest.raises(NoAnswer):
            await transport.post("/", b"{}", timeout_seconds=0.2)
    assert len(requests) == 1


async def test_nobody_there() -> None:
    """A refused connection is a message that surely did not leave."""
    async with party(whole(b"{}")) as transport:
        nobody = HttpTransport(transport._base_url)  # noqa: SLF001 - a port that is free again in a moment
    with pytest.raises(NotSent):
        await nobody.post("/", b"{}", timeout_seconds=2)
    await nobody.close()


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Card data takes no way that the environment suggests."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with party(whole(b"{}")) as transport:
        assert await transport.post("/", b"{}", timeout_seconds=2) == b"{}"
