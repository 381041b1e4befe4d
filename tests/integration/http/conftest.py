"""The event loop that processes run on: what it does to a connection that is ended belongs to the bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Hook: run these tests on uvloop, as the command line does."""
    return {"uvloop": uvloop.new_event_loop}
