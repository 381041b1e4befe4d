"""The real application with the real simulator, in this process, on a clone of a migrated database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio
from tests.support.gateways import Gateways, RunningGateway
from tests.support.webshop import Merchant, OpenShop, WebShop, clone_database, open_webshop


@pytest.fixture
async def opened(database_dsn: str) -> AsyncIterator[OpenShop]:
    """A way to open the application with other settings, also twice: two nodes on one database."""
    async with AsyncExitStack() as stack:

        async def open_another(**settings: Any) -> WebShop:
            return await stack.enter_async_context(open_webshop(database_dsn, **settings))

        yield open_another


@pytest.fixture
async def shop(opened: OpenShop) -> WebShop:
    """The application as stage runs it."""
    return await opened()


@pytest.fixture
def merchant(shop: WebShop) -> Merchant:
    """Who calls."""
    return shop.merchant


@pytest.fixture
def other_merchant(shop: WebShop) -> Merchant:
    """Somebody else."""
    return shop.other


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def refusing_shop(postgres_dsn: str, template: str) -> AsyncIterator[WebShop]:
    """One application for the tests of a module that store nothing, and check that they did not."""
    async with clone_database(postgres_dsn, template) as dsn, open_webshop(dsn) as shop:
        yield shop


@pytest.fixture
def running_gateway(gateways: Gateways) -> RunningGateway:
    """A gateway in a process of its own, as `make run` starts it."""
    return gateways.share("running", TOLLHOUSE_UNKNOWN_KEYS_BY_ADDRESS="0")
