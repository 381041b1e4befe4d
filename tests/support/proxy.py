"""A way to PostgreSQL that loses answers: it passes bytes on until a commit is answered, and then hangs up."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import quote, unquote

#: What the driver sends at both ends of a transaction, as a simple query.
BEGIN, COMMIT = b"BEGIN;\0", b"COMMIT;\0"
#: How the driver prepares a statement under a name, and how it calls one.
PREPARED = re.compile(rb"P.{4}(__asyncpg_\w+)\0(.*?)\0", re.DOTALL)
CALLED = re.compile(rb"B.{4}\0(__asyncpg_\w+)\0", re.DOTALL)
#: A statement that commits by itself, outside of a transaction.
WRITING = re.compile(rb"\b(insert into|update|delete from|begin_payments_v1|finish_payments_v1)\b", re.IGNORECASE)
#: The SQLSTATE in the server's word that it did not.
FAILED = re.compile(rb"\0C[0-9A-Z]{5}\0M")
CHUNK_BYTES = 65_536


class Talk:
    """What one client says, as far as it matters where the commits are."""

    def __init__(self) -> None:
        self._writing: set[bytes] = set()
        self._is_framed = False

    def commits(self, chunk: bytes) -> bool:
        """Hear what the client sends, and tell whether the server commits by it."""
        self._writing |= {name for name, text in PREPARED.findall(chunk) if WRITING.search(text)}
        if BEGIN in chunk:
            self._is_framed = True
        if COMMIT in chunk:
            self._is_framed = False
            return True
        return not self._is_framed and any(name in self._writing for name in CALLED.findall(chunk))


class LossyWay:
    """Counts commits, and loses the answer to those whose turn it is."""

    def __init__(self, server: Path) -> None:
        self._server = server
        self._talks: set[asyncio.Task[None]] = set()
        self.commits = 0
        self.lost = 0
        #: How many of the next answers to commits are lost.
        self.losing = 0
        #: Besides, each so many'th answer is lost; 0 for none.
        self.losing_every = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Stand between one client and the server."""
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        upstream, to_server = await asyncio.open_unix_connection(self._server)
        committing = asyncio.Event()
        pumps = [
            asyncio.create_task(self._pump(reader, to_server, committing)),
            asyncio.create_task(self._pump_back(upstream, writer, committing)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for end in (writer, to_server):
                with suppress(OSError):
                    end.transport.abort()
            self._talks.discard(task)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, committing: asyncio.Event
    ) -> None:
        talk = Talk()
        while chunk := await reader.read(CHUNK_BYTES):
            if talk.commits(chunk):
                committing.set()
            writer.write(chunk)
            await writer.drain()

    async def _pump_back(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, committing: asyncio.Event
    ) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            if committing.is_set() and not FAILED.search(chunk) and self._loses():
                return  # the server has committed, and nobody will hear of it
            committing.clear()
            writer.write(chunk)
            await writer.drain()

    def _loses(self) -> bool:
        """Count a commit, and tell whether its answer is lost."""
        self.commits += 1
        if not self.losing and not (self.losing_every and self.commits % self.losing_every == 0):
            return False
        self.losing = max(0, self.losing - 1)
        self.lost += 1
        return True

    async def close(self) -> None:
        """Hang up everywhere."""
        talks = list(self._talks)
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


@asynccontextmanager
async def open_lossy_way(dsn: str, directory: Path) -> AsyncIterator[tuple[LossyWay, str]]:
    """Open a way to the server behind a DSN, and return it with the DSN that leads through it."""
    host = re.search(r"host=([^&]+)", dsn)
    port = re.search(r"port=(\d+)", dsn)
    assert host
    name = f".s.PGSQL.{port[1] if port else 5432}"
    way = LossyWay(Path(unquote(host[1])) / name)
    server = await asyncio.start_unix_server(way.serve, directory / name)
    try:
        yield way, dsn.replace(host[0], f"host={quote(str(directory), safe='')}")
    finally:
        server.close()
        await way.close()
        await server.wait_closed()
