"""A listener that acknowledges IPNs as fast as it can and counts them: `python -m bench.sink PORT ADDRESSES`.

`GET /` answers with the count. It shares the machine with what is measured, so it does next to nothing.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop

ACKNOWLEDGED = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
CONTENT_LENGTH = b"content-length:"

_count = 0


class Listener(asyncio.Protocol):
    """One connection. Knows requests with a Content-Length, one after the other: that is what an IPN is."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._received[:end]).lower()
            length = _read_length(head)
            if len(self._received) < end + 4 + length:
                return
            del self._received[: end + 4 + length]
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        global _count  # noqa: PLW0603 - the whole program is this counter
        if self._transport is None:
            return
        if head.startswith(b"get "):
            text = str(_count).encode()
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))
            return
        _count += 1
        self._transport.write(ACKNOWLEDGED)


def _read_length(head: bytes) -> int:
    _, found, rest = head.partition(CONTENT_LENGTH)
    return int(rest.split(b"\r\n", 1)[0]) if found else 0


async def _serve(port: int, addresses: int) -> None:
    loop = asyncio.get_running_loop()
    hosts = [f"127.0.0.{number}" for number in range(1, addresses + 1)]
    server = await loop.create_server(Listener, hosts, port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
