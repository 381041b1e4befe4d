"""SIGTERM: what a balancer sees of it, and that no backlog keeps a process alive."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.support.gateways import SOURCE, START_SECONDS, STOP_SECONDS, RunningGateway, find_free_port
from tests.support.webshop import REDIRECT_URL, card, open_webshop

from tollhouse.vault.keys import FileKeyProvider

#: More than one batch of the resolver, and more callbacks than places.
UNKNOWN, CALLBACKS = 60, 200


class Process:
    """A process of the gateway on a database of the test's."""

    def __init__(self, command: str, dsn: str, directory: Path, **environment: str) -> None:
        self.port, self.health_port = find_free_port(), find_free_port()
        own = {name: value for name, value in os.environ.items() if not name.startswith("TOLLHOUSE_")} | {
            "PYTHONPATH": str(SOURCE),
            "TOLLHOUSE_DATABASE_URL": dsn,
            "TOLLHOUSE_DATA_DIR": str(directory),
            "TOLLHOUSE_SIMULATOR_URL": "http://127.0.0.1:9",
            "TOLLHOUSE_SIMULATOR_SECRET": "a secret of the test",
            "TOLLHOUSE_PORT": str(self.port),
            "TOLLHOUSE_HEALTH_PORT": str(self.health_port),
            "TOLLHOUSE_LOG_FORMAT": "json",
        }
        self.running = subprocess.Popen(
            [sys.executable, "-m", "tollhouse", command], env=own | environment, stderr=subprocess.PIPE, text=True
        )

    def get(self, path: str, *, is_health: bool = False) -> tuple[int, Any]:
        """Ask one of the ports; raises OSError where nobody listens."""
        port = self.health_port if is_health else self.port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            content = answer.read()
            return answer.status, content if path == "/metrics" else json.loads(content)
        finally:
            connection.close()

    def wait_until(self, path: str, status: int | None, *, is_health: bool = False) -> None:
        """Wait until a path answers with a status, or, for None, until nobody listens."""
        give_up_at = time.monotonic() + START_SECONDS
        while time.monotonic() < give_up_at:
            try:
                seen: int | None = self.get(path, is_health=is_health)[0]
            except OSError:
                seen = None
            if seen == status:
                return
            time.sleep(0.02)
        raise AssertionError(f"{path} did not become {status}")

    def end(self) -> tuple[int, list[dict[str, Any]]]:
        """Wait for the end that was asked for, and return exit code and log."""
        _, said = self.running.communicate(timeout=STOP_SECONDS)
        return self.running.returncode, [json.loads(line) for line in said.splitlines()]


@contextmanager
def run(command: str, dsn: str, directory: Path, **environment: str) -> Iterator[Process]:
    """Run a process until the end of the block at the latest."""
    process = Process(command, dsn, directory, **environment)
    try:
        yield process
    finally:
        if process.running.poll() is None:
            process.running.kill()
            process.running.communicate()


@pytest.mark.slow
def test_a_balancer_learns_of_a_stop_before_the_port_closes(database_dsn: str, data_directory: Path) -> None:
    """After SIGTERM `/readyz` is 503 while requests are still served; then the port closes, and health closes last."""
    with run("serve", database_dsn, data_directory, TOLLHOUSE_DRAIN_SECONDS="2") as process:
        process.wait_until("/readyz", 200, is_health=True)
        process.running.send_signal(signal.SIGTERM)
        process.wait_until("/readyz", 503, is_health=True)
        assert process.get("/payment/1")[0] == 401
        assert process.get("/healthz", is_health=True)[0] == 200
        process.wait_until("/healthz", None)
        code, _ = process.end()
        assert code == 0


@pytest.mark.slow
def test_a_second_signal_does_not_wait_for_balancers(database_dsn: str, data_directory: Path) -> None:
    """Somebody who asks twice wants the process to end now."""
    with run("serve", database_dsn, data_directory, TOLLHOUSE_DRAIN_SECONDS="300") as process:
        process.wait_until("/readyz", 200, is_health=True)
        process.running.send_signal(signal.SIGTERM)
        process.wait_until("/readyz", 503, is_health=True)
        process.running.send_signal(signal.SIGTERM)
        assert process.end()[0] == 0


@pytest.mark.slow
def test_strangers_read_no_numbers(database_dsn: str, data_directory: Path) -> None:
    """The public port of `serve` has `/healthz`, which asks nobody; the rest is on a port of its own."""
    with run("serve", database_dsn, data_directory) as process:
        process.wait_until("/healthz", 200)
        assert [process.get(path)[0] for path in ("/readyz", "/healthz/../readyz", "/nowhere")] == [404] * 3
        with pytest.raises(ValueError, match="Expecting"):
            json.loads(process.get("/metrics", is_health=True)[1])
        assert json.loads(process.get("/metrics")[1])["message"] == "There is no such path."
        assert process.get("/healthz", is_health=True) == (200, {"status": "ok"})
        assert process.get("/payment/1", is_health=True)[0] == 404
        assert b"tollhouse_loop_completed_timestamp_seconds{" in process.get("/metrics", is_health=True)[1]


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
            await shop.execute("update attempt set resolve_at = now() where resolve_at is not null")
        with run("work", database_dsn, data_directory, TOLLHOUSE_SIMULATOR_URL=hanging.url) as process:
            process.wait_until("/readyz", 200, is_health=True)
            assert hanging.asked.wait(START_SECONDS)
            await asyncio.sleep(0.5)  # until it is asked by as many as ask at a time
            process.running.send_signal(signal.SIGTERM)
            code, log = process.end()
        assert code == 0
        cut_off = {name for line in log if line["event"] == "loops.cut_off" for name in line["loops"]}
        assert "resolve outcomes" in cut_off
        assert "deliver events" not in cut_off, "it has to give its leases back"
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
        assert gateway.wait() == 1
        assert "tollhouse: The embedded database ended by itself; " in gateway.log
        assert "Traceback" not in gateway.log
    finally:
        gateway.close()
