"""One gateway process for acceptance tests that do not stop it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.gateways import Gateways, RunningGateway
from tests.support.listener import Listener

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def gateway(gateways: Gateways) -> RunningGateway:
    """A gateway as `make run` starts it."""
    return gateways.share("acceptance")


@pytest.fixture
def listener(gateway: RunningGateway) -> Iterator[Listener]:
    """A merchant's listener that knows the demo's IPN secret."""
    listener = Listener(secret=gateway.demo["ipnSecret"])
    yield listener
    listener.close()
