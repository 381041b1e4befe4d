"""`tollhouse serve --processes N`: several processes that share a port, started and watched by a parent."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from tests.support.commands import run_tollhouse
from tests.support.processes import Node, build_node, build_node_environment, get, has_status, run_nodes, wait_until

if TYPE_CHECKING:
    from pathlib import Path


def build(dsn: str, directory: Path, *options: str, **environment: str) -> Node:
    """Build a `serve` on the database of the test."""
    own = build_node_environment(dsn, directory, **{"TOLLHOUSE_DRAIN_SECONDS": "0"} | environment)
    return build_node("serve", own, directory.parent / f"{directory.name}-serve.log", options=options)


@pytest.fixture
def pair(database_dsn: str, data_directory: Path) -> Iterator[Node]:
    """Two processes that share a port, killed at the end if they still run."""
    node = build(database_dsn, data_directory, "--processes", "2")
    node.start()
    pids = read_pids(node)
    yield node
    node.close()
    for pid in {*pids, *read_pids(node)}:
        wait_until(lambda pid=pid: not is_alive(pid), "a process to end with its parent")  # type: ignore[misc]


def read_pids(node: Node) -> list[int]:
    """Return the ids of the processes that the parent has started, oldest first."""
    found = re.findall(r'"pid":(\d+)[^\n]*"event":"server_process.started"', node.log)
    return [int(pid) for pid in found]


def is_alive(pid: int) -> bool:
    """Tell whether a process runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def read_metric(node: Node, name: str) -> float:
    """Return a number, added up over its labels."""
    text = get(f"{node.health_url}/metrics")[1].decode()
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? ([\d.e+]+)$", text, re.MULTILINE))


@pytest.mark.slow
def test_processes_share_a_port_and_tell_their_metrics_in_one_place(pair: Node) -> None:
    """Requests are spread among the processes, and the health port counts those of all."""
    wait_until(lambda: b'"ready":2' in get(f"{pair.health_url}/readyz")[1], "both to be ready")
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: get(f"{pair.url}/payment/1")[0], range(60)))
    assert statuses == [401] * 60
    assert read_metric(pair, "tollhouse_request_seconds_count") == 60
    assert read_metric(pair, "tollhouse_processes_running") == 2
    assert get(f"{pair.health_url}/readyz") == (200, b'{"status":"ready","processes":2,"ready":2}')
    assert pair.terminate() >= 0
    assert has_status(f"{pair.url}/healthz", None)


@pytest.mark.slow
def test_a_process_that_dies_is_started_again_and_no_connection_is_refused(pair: Node) -> None:
    """After one of two processes was killed, every new request is answered, and a successor is started."""
    victim = read_pids(pair)[0]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: not is_alive(victim), "the process to die, with the connections that it had accepted")
    assert {get(f"{pair.url}/payment/1")[0] for _ in range(40)} == {401}
    wait_until(lambda: b'"ready":2' in get(f"{pair.health_url}/readyz")[1], "the successor to be ready")
    assert len(read_pids(pair)) == 3
    assert read_metric(pair, "tollhouse_process_restarts_total") == 1
    assert pair.terminate() >= 0


@pytest.mark.slow
def test_a_process_that_hangs_takes_no_connections(pair: Node) -> None:
    """A process that is paused keeps no client waiting, and the health port says that it is not ready."""
    wait_until(lambda: b'"ready":2' in get(f"{pair.health_url}/readyz")[1], "both to be ready")
    hanging = read_pids(pair)[0]
    os.kill(hanging, signal.SIGSTOP)
    try:
        assert {get(f"{pair.url}/payment/1")[0] for _ in range(40)} == {401}
        assert get(f"{pair.health_url}/readyz") == (200, b'{"status":"ready","processes":2,"ready":1}')
    finally:
        os.kill(hanging, signal.SIGCONT)


@pytest.mark.slow
def test_a_second_signal_ends_the_drain_of_all_processes(database_dsn: str, data_directory: Path) -> None:
    """Like one process alone, several stop at once at the second SIGTERM, however long their drain time is."""
    node = build(database_dsn, data_directory, "--processes", "2", TOLLHOUSE_DRAIN_SECONDS="300")
    with run_nodes(node):
        node.request_stop()
        wait_until(lambda: has_status(f"{node.health_url}/readyz", 503), "readyz to be 503")
        assert get(f"{node.url}/payment/1")[0] == 401
        node.request_stop()
        assert node.wait_for_exit() == 0


@pytest.mark.slow
def test_processes_stop_when_their_parent_is_killed(pair: Node) -> None:
    """No process outlives its parent, which could not be told to stop."""
    pair.kill()
    for pid in read_pids(pair):
        wait_until(lambda pid=pid: not is_alive(pid), "a process to notice")  # type: ignore[misc]
    assert has_status(f"{pair.url}/healthz", None)


@pytest.mark.slow
def test_more_connections_than_the_database_takes_are_refused_at_the_start(
    database_dsn: str, data_directory: Path
) -> None:
    """Pools that cannot all be filled are no pools: the parent says so and starts nothing."""
    node = build(database_dsn, data_directory)
    ended = run_tollhouse("serve", "--processes", "64", environment=node.environment)
    assert ended.returncode == 1
    assert re.search(r"64 processes may open 896 connections, and the database accepts \d+\.", ended.stderr)
    assert "TOLLHOUSE_DATABASE_CONNECTIONS" in ended.stderr


@pytest.mark.slow
def test_a_start_that_fails_is_told_once(database_dsn: str, data_directory: Path) -> None:
    """A process that cannot start ends its parent, and its reason is printed once, not once for each process."""
    node = build(database_dsn, data_directory, TOLLHOUSE_KEY_RING_DIR=str(data_directory / "missing"))
    ended = run_tollhouse("serve", "--processes", "2", environment=node.environment)
    assert ended.returncode == 1
    assert ended.stderr.count("TOLLHOUSE_KEY_RING_DIR") == 1


@pytest.mark.slow
@pytest.mark.parametrize("count", ["0", "65", "many", "-1"])
def test_a_number_of_processes_that_is_none_is_refused(count: str, database_dsn: str, data_directory: Path) -> None:
    """The number is from 1 to 64, or `auto`."""
    node = build(database_dsn, data_directory)
    ended = run_tollhouse("serve", f"--processes={count}", environment=node.environment)
    assert ended.returncode == 2
    assert "--processes" in ended.stderr
