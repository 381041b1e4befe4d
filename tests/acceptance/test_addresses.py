"""What is bound, what is announced and what is allowed are the same address, however the process was told to listen."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.support.gateways import request
from tests.support.issuing import number_of
from tests.support.processes import Node, build_environment, find_free_port, get, has_status, run_nodes

CALLBACK_SECONDS = 20.0


def has_ipv6() -> bool:
    """Tell whether this machine has IPv6 on loopback."""
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@contextmanager
def run_dev(data_directory: Path, *options: str) -> Iterator[dict[str, Any]]:
    """Run `tollhouse dev` until the block ends, and give the content of demo.json."""
    command = [sys.executable, "-m", "tollhouse", "dev", "--data-dir", str(data_directory), *options]
    log = data_directory.parent / f"{data_directory.name}.log"
    node = Node("dev", command, build_environment(), log, is_ready=lambda: is_demo_answering(data_directory))
    with run_nodes(node):
        yield read_demo(data_directory)


def is_demo_answering(data_directory: Path) -> bool:
    """Return whether demo.json exists and the address in it answers."""
    try:
        return has_status(f"{read_demo(data_directory)['baseUrl']}/healthz", 200)
    except OSError:
        return False


def read_demo(data_directory: Path) -> dict[str, Any]:
    """Return the content of demo.json."""
    demo: dict[str, Any] = json.loads((data_directory / "demo.json").read_text())
    return demo


def read(url: str) -> str:
    """Return the content of a page that exists."""
    status, content = get(url)
    assert status == 200, content
    return content.decode()


def is_acknowledged(demo: dict[str, Any], transaction_id: str) -> bool:
    """Wait until the callback of a payment was delivered."""
    give_up_at = time.monotonic() + CALLBACK_SECONDS
    while time.monotonic() < give_up_at:
        _, log = request(f"{demo['baseUrl']}/transaction/{transaction_id}/ipn", key=demo["apiKey"])
        if '"delivered"' in json.dumps(log):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
@pytest.mark.parametrize(
    ("host", "announced", "bank"),
    [
        ("127.0.0.1", "127.0.0.1", "localhost"),
        ("localhost", "localhost", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1", "localhost"),  # noqa: S104 - that is what is tested
        pytest.param("::", "127.0.0.1", "localhost", marks=needs_ipv6),
        pytest.param("::1", "::1", None, marks=needs_ipv6),
    ],
)
def test_any_host_and_port_work(data_directory: Path, host: str, announced: str, bank: str | None) -> None:
    """On any free port of any host all that is announced can be opened, and the demo's own callbacks arrive."""
    with run_dev(data_directory, "--host", host, "--port", "0") as demo:
        base = urlsplit(demo["baseUrl"])
        assert (base.hostname, base.port == 0) == (announced, False)
        paid = pay(demo, number_of("challenge"))
        page = paid["payment"]["url"]
        assert page.startswith(f"{demo['baseUrl']}/3ds/")
        assert "<form" in read(page)
        simple = pay(demo, number_of("visa"))
        assert is_acknowledged(demo, simple["payment"]["transactionId"])
        assert bank is None or read(f"http://{bank}:{base.port}/healthz")


def pay(demo: dict[str, Any], number: str) -> dict[str, Any]:
    """Pay with a card at the demo's site, whose own callback address is taken."""
    body = {
        "paymentSource": {
            "type": "card",
            "number": number,
            "expirationMonth": "12",
            "expirationYear": "30",
            "cvv": "009",
        },
        "sku": {"siteId": demo["siteId"], "price": [{"offset": "0d", "amount": 5, "currency": "EUR"}]},
        "consumer": {"externalId": "someone", "firstName": "Jane", "lastName": "Smith", "ip": "203.0.113.45"},
    }
    status, answer = request(f"{demo['baseUrl']}/payment", body=body, key=demo["apiKey"])
    assert status == 201, answer
    found: dict[str, Any] = answer
    return found


@pytest.mark.slow
def test_numbers_of_an_open_demo_are_not_public(data_directory: Path) -> None:
    """Where `dev` listens for others too, health and metrics are on a port of their own on loopback."""
    port, health_port = find_free_port(), find_free_port()
    options = ("--host", "0.0.0.0", "--port", str(port), "--health-port", str(health_port))  # noqa: S104 - as above
    with run_dev(data_directory, *options) as demo:
        for path in ("/metrics", "/readyz"):
            assert request(f"{demo['baseUrl']}{path}")[0] == 404
            assert read(f"http://127.0.0.1:{health_port}{path}")
