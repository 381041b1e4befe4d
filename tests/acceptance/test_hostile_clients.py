"""A real process, attacked by slow and large clients."""

from __future__ import annotations

import re
import socket
from pathlib import Path

from tests.support.gateways import RunningGateway, request

SILENT = 1_100
LARGE_BYTES = 20 * 1024 * 1024


def connect(port: int, source: str) -> socket.socket:
    """Connect from one of this machine's addresses."""
    return socket.create_connection(("127.0.0.1", port), timeout=30, source_address=(source, 0))


def read_resident_kilobytes(pid: int) -> int:
    """Return the most memory that a process has had."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1])


def send_all_it_takes(connection: socket.socket, data: bytes) -> None:
    """Send until the server has enough."""
    try:
        for start in range(0, len(data), 65_536):
            connection.sendall(data[start : start + 65_536])
    except ConnectionError:
        pass


def test_silent_and_large_clients_leave_the_port_to_others(gateway: RunningGateway) -> None:
    """Eleven hundred silent connections and eight endless headers take neither the port nor the memory."""
    before = read_resident_kilobytes(gateway.pid)
    silent = [connect(gateway.port, "127.0.0.2") for _ in range(SILENT)]
    head = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Large: " + b"a" * LARGE_BYTES
    for _ in range(8):
        with connect(gateway.port, "127.0.0.3") as large:
            send_all_it_takes(large, head)
    assert request(f"{gateway.url}/healthz")[0] == 200
    assert read_resident_kilobytes(gateway.pid) - before < 64 * 1024
    for connection in silent:
        connection.close()


def test_a_trailer_authorizes_nothing(gateway: RunningGateway) -> None:
    """A key that comes after the body is no key."""
    head = "POST /payment/1/void HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    chunked = "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\n{}\r\n0\r\n"
    with connect(gateway.port, "127.0.0.1") as connection:
        connection.sendall(f"{head}{chunked}Authorization: {gateway.demo['apiKey']}\r\n\r\n".encode())
        answer = connection.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 401")
