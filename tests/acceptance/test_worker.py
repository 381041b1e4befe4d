"""`tollhouse work` in a process of its own, watched through its port."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path

import pytest
from tests.support.gateways import SOURCE, START_SECONDS, STOP_SECONDS, find_free_port


@pytest.mark.slow
def test_a_worker_tells_how_it_is(database_dsn: str, data_directory: Path) -> None:
    """With `--health-port` a worker answers for its health and its numbers, and serves nothing else."""
    port = find_free_port()
    own = {name: value for name, value in os.environ.items() if not name.startswith("TOLLHOUSE_")} | {
        "PYTHONPATH": str(SOURCE),
        "TOLLHOUSE_DATABASE_URL": database_dsn,
        "TOLLHOUSE_DATA_DIR": str(data_directory),
        "TOLLHOUSE_SIMULATOR_URL": "http://127.0.0.1:9",
        "TOLLHOUSE_SIMULATOR_SECRET": "a secret of the test",
    }
    command = [sys.executable, "-m", "tollhouse", "work", "--health-port", str(port)]
    with subprocess.Popen(command, env=own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            assert json.loads(ask(process, port, "/healthz")) == {"status": "ok"}
            assert json.loads(ask(process, port, "/readyz")) == {"status": "ready"}
            assert b"tollhouse_outbox_events 0.0" in ask(process, port, "/metrics")
            with pytest.raises(urllib.error.HTTPError, match="404"):
                ask(process, port, "/openapi.json")
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=STOP_SECONDS) == 0


def ask(process: subprocess.Popen[bytes], port: int, path: str) -> bytes:
    """Ask until somebody listens, and return the body."""
    give_up_at = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up_at and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
                content: bytes = response.read()
                return content
        except urllib.error.HTTPError as error:
            if error.code != HTTPStatus.SERVICE_UNAVAILABLE:  # it listens before it is ready
                raise
            time.sleep(0.05)
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"nobody listens on port {port}")
