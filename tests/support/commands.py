"""Commands of `tollhouse` that end by themselves, run as processes that need not import the program again."""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from threading import Lock

from tests.support.processes import START_SECONDS, build_environment

PROGRAM = Path(__file__).with_name("command_server.py")

_turn = Lock()


def run_tollhouse(*arguments: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command, and return its exit code and output. SIGALRM, with its exit code, ends one that hangs.

    Commands of one process of the tests run one at a time.
    """
    request = {"arguments": arguments, "environment": dict(environment), "timeout_seconds": round(START_SECONDS)}
    with _turn:
        server = _start_server()
        assert server.stdin
        assert server.stdout
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        line = server.stdout.readline()
    assert line, "the command server has ended"
    answer = json.loads(line)
    return subprocess.CompletedProcess(arguments, answer["code"], answer["output"], answer["errors"])


@cache
def _start_server() -> subprocess.Popen[str]:
    """Start the server of this process of the tests; it ends with this process, for its input ends then."""
    server = subprocess.Popen(
        [sys.executable, str(PROGRAM)],
        env=build_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(server.communicate)
    return server
