"""A whole gateway for tests of payments."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.support.cardholders import ServedGateway, open_served_gateway

from tollhouse.storage.database import Database


@pytest.fixture
async def served(database: Database, simulator_database: Database) -> AsyncIterator[ServedGateway]:
    """A running gateway with its simulator."""
    async with open_served_gateway(database, simulator_database) as served:
        yield served
