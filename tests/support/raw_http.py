"""A server with the gateway's bounds and an application that echoes, and raw sockets to speak to it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import uvicorn

from tollhouse.http.serving.server import ServerLimits, build_protocol

#: A bound that only a hang exceeds.
HANG_SECONDS = 20.0


@dataclass(slots=True)
class Echo:
    """An application that answers with what it was asked. `/wait` waits, `/early` does not read, `/large` is large."""

    seen: list[dict[str, Any]] = field(default_factory=list)
    large: bytes = b"x" * (8 * 1024 * 1024)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        said = {"method": scope["method"], "path": scope["path"], "headers": headers, "body": ""}
        self.seen.append(said)
        if scope["path"] == "/early":
            await self._respond(send, 413, b"{}")
            return
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                said["body"] = "gone"
                return
            body += message["body"]
            if not message["more_body"]:
                break
        said["body"] = body.decode("latin-1")
        if scope["path"] == "/wait":
            await self.go_on.wait()
        await self._respond(send, 200, self.large if scope["path"] == "/large" else json.dumps(said).encode())

    async def _respond(self, send: Any, status: int, body: bytes) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


class _Server(uvicorn.Server):
    """A server whose stop does not wait long for clients."""

    def capture_signals(self) -> Any:
        """Leave signals to pytest."""
        return nullcontext()


@asynccontextmanager
async def serve(application: Any, bounds: ServerLimits, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """Serve an application on a free port, and give the port."""
    with socket.socket() as listener:
        listener.bind((host, 0))
        config = uvicorn.Config(
            application,
            http=build_protocol(bounds),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_keep_alive=60,
            timeout_graceful_shutdown=1,
        )
        server = _Server(config)
        serving = asyncio.create_task(server.serve([listener]))
        while not server.started:  # noqa: ASYNC110 - the server tells by a flag only
            await asyncio.sleep(0.01)
        yield listener.getsockname()[1]
        server.should_exit = True
        await serving


class Raw:
    """One connection, spoken to in bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int, *, source: str = "127.0.0.1") -> Raw:
        """Connect from an address of this machine."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0)))

    async def send(self, data: bytes) -> None:
        """Send bytes; a connection that was closed takes none."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except ConnectionError:
            pass

    async def read(self) -> bytes:
        """Read until the server ends the connection, and close it."""
        received = b""
        try:
            async with asyncio.timeout(HANG_SECONDS):
                while chunk := await self._reader.read(65_536):
                    received += chunk
        except ConnectionError:
            pass
        self.close()
        return received

    async def read_response(self) -> tuple[int, dict[str, str], bytes]:
        """Read one response that says its length."""
        status, headers = await self.read_head()
        async with asyncio.timeout(HANG_SECONDS):
            body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        return status, headers, body

    async def read_head(self) -> tuple[int, dict[str, str]]:
        """Read the status and the headers of a response."""
        async with asyncio.timeout(HANG_SECONDS):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status_line, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        return int(status_line.split()[1]), headers

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()


async def exchange(port: int, data: bytes, *, source: str = "127.0.0.1") -> bytes:
    """Send bytes on a connection of their own, and return all that comes back until its end."""
    connection = await Raw.open(port, source=source)
    await connection.send(data)
    return await connection.read()
