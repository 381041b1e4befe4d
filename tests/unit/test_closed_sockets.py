"""The tests talk to this machine only."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest


@pytest.mark.parametrize("address", ["192.0.2.1", "10.0.0.1", "169.254.169.254"])
def test_other_machines_are_refused(address: str) -> None:
    """A connection to another machine fails in the test that wants it, before a packet leaves."""
    with socket.socket() as connecting, pytest.raises(RuntimeError, match="only loopback"):
        connecting.connect((address, 80))


async def test_names_are_not_looked_up() -> None:
    """Nor does a question to a name server leave this machine."""
    with pytest.raises(RuntimeError, match="only loopback"):
        await asyncio.get_running_loop().getaddrinfo("example.com", 80)


async def test_loopback_is_open() -> None:
    """A server of the test's own is reached by address and by name."""
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        for host in ("127.0.0.1", "localhost"):
            _reader, writer = await asyncio.open_connection(host, port, family=socket.AF_INET)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


def test_unix_sockets_are_open(tmp_path: Path) -> None:
    """PostgreSQL is reached through one."""
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as connecting:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        connecting.connect(str(tmp_path / "s"))
