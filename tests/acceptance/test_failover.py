"""Processes whose database URL names several servers."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from typing import TYPE_CHECKING

import pytest
from tests.support.cluster import open_cluster, wait_until_copied
from tests.support.commands import run_tollhouse
from tests.support.processes import (
    Node,
    build_node,
    build_node_environment,
    has_status,
    run_nodes,
    wait_until,
)
from tests.support.webshop import card

if TYPE_CHECKING:
    from pathlib import Path


def tokenize(node: Node) -> str:
    """Ask for a token, which writes a row, and return it. Raises OSError for any other response."""
    headers = {"Content-Type": "application/json", "X-Requested-With": "XMLHttpRequest"}
    request = urllib.request.Request(f"{node.url}/tokenize", json.dumps(card()).encode(), headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - our own address
        return str(json.loads(response.read())["token"])


def takes_writes(node: Node) -> bool:
    """Tell whether a request that writes succeeds."""
    try:
        return bool(tokenize(node))
    except OSError:
        return False


@pytest.mark.slow
async def test_processes_follow_the_server_that_takes_writes(data_directory: Path, tmp_path: Path) -> None:
    """`migrate`, `serve` and `work` find the primary behind a standby, and the standby once it is promoted."""
    async with open_cluster(data_directory) as cluster:
        environment = build_node_environment(cluster.dsn, tmp_path / "data")
        migrated = await asyncio.to_thread(run_tollhouse, "migrate", environment=environment)
        assert migrated.returncode == 0, migrated.stderr
        nodes = [build_node(command, environment, tmp_path / f"{command}.log") for command in ("serve", "work")]
        serve, work = nodes
        with run_nodes(*nodes):
            assert await asyncio.to_thread(tokenize, serve)
            await wait_until_copied(cluster)
            await cluster.primary.stop()
            await asyncio.to_thread(wait_until, lambda: has_status(f"{work.health_url}/readyz", 503), "work to notice")
            await cluster.promote()
            await asyncio.to_thread(wait_until, lambda: takes_writes(serve), "the promoted server to be used")
            await asyncio.to_thread(wait_until, lambda: has_status(f"{work.health_url}/readyz", 200), "work to go on")
