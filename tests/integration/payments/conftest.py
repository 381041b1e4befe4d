"""A whole gateway for tests of payments."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.support.cardholders import World, open_world

from tollhouse.storage.database import Database


@pytest.fixture
async def world(database: Database, simulator_database: Database) -> AsyncIterator[World]:
    """A running gateway with its simulator."""
    async with open_world(database, simulator_database) as world:
        yield world
