"""SIGTERM: what a balancer sees of it, and that no backlog keeps a process alive."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.support.gateways import RunningGateway
from tests.support.processes import (
    START_SECONDS,
    Node,
    build_node,
    build_node_environment,
    get,
    has_status,
    run_nodes,
    wait_until,
)
from tests.support.webshop import REDIRECT_URL, card, open_webshop

from tollhouse.vault.keys import FileKeyProvider

#: More than one batch of the resolver, and more callbacks than places.
UNKNOWN, CALLBACKS = 60, 200


def build(command: str, dsn: str, directory: Path, **environment: str) -> Node:
    """Build a process of the gateway on the database of the test."""
    own = build_node_environment(dsn, directory, **environment)
    return build_node(command, own, directory.parent / f"{directory.name}-{command}.log")


def read(url: str) -> tuple[int, Any]:
    """Return the status and the JSON of an address."""
    status, content = get(url)
    return status, json.loads(content)


@pytest.mark.slow
def test_a_balancer_learns_of_a_stop_before_the_port_closes(database_dsn: str, data_directory: Path) -> None:
    """After SIGTERM `/readyz` is 503 while requests are still served; then the port closes, and health closes last."""
    serve = build("serve", database_dsn, data_directory, TOLLHOUSE_DRAIN_SECONDS="2")
    with run_nodes(serve):
        serve.request_stop()
        wait_until(lambda: has_status(f"{serve.health_url}/readyz", 503), "readyz to be 503")
        assert get(f"{serve.url}/payment/1")[0] == 401
        assert get(f"{serve.health_url}/healthz")[0] == 200
        wait_until(lambda: has_status(f"{serve.url}/healthz", None), "the port to close")
        assert serve.wait_for_exit() == 0


@pytest.mark.slow
def test_a_second_signal_does_not_wait_for_balancers(database_dsn: str, data_directory: Path) -> None:
    """Somebody who asks twice wants the process to end now."""
    serve = build("serve", database_dsn, data_directory, TOLLHOUSE_DRAIN_SECONDS="300")
    with run_nodes(serve):
        serve.request_stop()
        wait_until(lambda: has_status(f"{serve.health_url}/readyz", 503), "readyz to be 503")
        serve.request_stop()
        assert serve.wait_for_exit() == 0


@pytest.mark.slow
def test_strangers_read_no_numbers(database_dsn: str, data_directory: Path) -> None:
    """The public port of `serve` has `/healthz`, which asks nobody; the rest is on a port of its own."""
    serve = build("serve", database_dsn, data_directory)
    with run_nodes(serve):
        assert read(f"{serve.url}/healthz") == (200, {"status": "ok"})
        assert [get(f"{serve.url}/{path}")[0] for path in ("readyz", "healthz/../readyz", "nowhere")] == [404] * 3
        status, rejection = read(f"{serve.url}/metrics")
        assert (status, rejection["message"]) == (404, "Path not found. Check the URL.")
        assert read(f"{serve.health_url}/healthz") == (200, {"status": "ok"})
        assert get(f"{serve.health_url}/payment/1")[0] == 404
        assert b"tollhouse_loop_completed_timestamp_seconds{" in get(f"{serve.health_url}/metrics")[1]


class Hanging(ThreadingHTTPServer):
    """An acquirer and an endpoint that take a request and say nothing until the test ends."""

    def __init__(self) -> None:
        over, asked = threading.Event(), threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked.set()
                over.wait(timeout=60)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        super().__init__(("127.0.0.1", 0), Handler)
        self.over, self.asked = over, asked
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Let everybody go."""
        self.over.set()
        self.shutdown()
        self.server_close()


@pytest.mark.slow
async def test_a_worker_with_a_backlog_stops(database_dsn: str, data_directory: Path) -> None:
    """A worker whose loops all wait for others, with more to do behind that, ends within its grace."""
    data_directory.mkdir()
    hanging = Hanging()
    keys = FileKeyProvider.open(data_directory / "keys.json")
    try:
        async with open_webshop(database_dsn, keys=keys) as shop:
            for _ in range(UNKNOWN):
                answer = await shop.pay(shop.payment({"type": "card"} | card("lost_answer")))
                assert answer.status_code == 201, answer.text
            for _ in range(CALLBACKS):
                answer = await shop.pay(shop.payment(url={"ipnUrl": f"{hanging.url}/ipn", "redirectUrl": REDIRECT_URL}))
                assert answer.status_code == 201, answer.text
            await shop.execute("update open_attempt set resolve_at = now() where resolve_at is not null")
        work = build("work", database_dsn, data_directory, TOLLHOUSE_SIMULATOR_URL=hanging.url)
        with run_nodes(work):
            assert hanging.asked.wait(START_SECONDS)
            await asyncio.sleep(0.5)  # until it is asked by as many as ask at a time
            work.terminate()
        log = work.log_lines
        cut_off = {name for line in log if line["event"] == "loops.cut_off" for name in line["loops"]}
        assert cut_off == {"import disputes"}, "the others have leases, which they give back in time"
        assert not [line for line in log if line["level"] == "error"]
    finally:
        hanging.close()


@pytest.mark.slow
def test_a_database_that_dies_is_no_success(data_directory: Path) -> None:
    """When the embedded database ends by itself the process ends with a sentence, and not with exit code 0."""
    gateway = RunningGateway(data_directory)
    try:
        gateway.start()
        postmaster = int((data_directory / "postgres" / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGKILL)
        assert gateway.wait_for_exit() == 1
        assert "tollhouse: The embedded database ended by itself. See " in gateway.log
        assert "Traceback" not in gateway.log
    finally:
        gateway.close()
