"""One gateway process for all acceptance tests of a worker that do not stop it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.gateways import RunningGateway
from tests.support.listener import Listener

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def gateway(session_directory: Path) -> Iterator[RunningGateway]:
    """A gateway as `make run` starts it."""
    gateway = RunningGateway(session_directory / "acceptance")
    gateway.start()
    yield gateway
    gateway.close()


@pytest.fixture
def listener(gateway: RunningGateway) -> Iterator[Listener]:
    """A merchant's listener that knows the demo's IPN secret."""
    listener = Listener(secret=gateway.demo["ipnSecret"])
    yield listener
    listener.close()
