"""A simulator on a fresh database, and the gateway's connector to it in the same process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import uvicorn
from tests.support.simulator import SECRET
from tests.support.threeds_server import ThreedsServer

from tollhouse.acquirers.simulated import SimulatedAcquirer
from tollhouse.simulator.app import create_simulator_app
from tollhouse.simulator.host import InProcessTransport, Simulator
from tollhouse.storage.database import Database

BASE_URL = "http://localhost:8080/simulator"


@pytest.fixture
async def simulator(simulator_database: Database) -> AsyncIterator[Simulator]:
    """A simulator whose slow and late cards take a moment instead of half a minute."""
    simulator = Simulator(
        simulator_database, base_url=BASE_URL, slow_seconds=0.05, late_seconds=0.3, decoupled_seconds=0.05
    )
    await simulator.start()
    yield simulator
    await simulator.close()


@pytest.fixture
def acquirer(simulator: Simulator) -> SimulatedAcquirer:
    """The connector to the simulator, in process."""
    return SimulatedAcquirer(InProcessTransport(simulator), timeout_seconds=2)


@pytest.fixture
async def threeds_server() -> AsyncIterator[ThreedsServer]:
    """A 3DS Server that takes results and returns."""
    async with ThreedsServer() as server:
        yield server


@pytest.fixture
async def edge(simulator: Simulator) -> AsyncIterator[str]:
    """The base URL of the simulator's HTTP edge, on a real server and a real port."""
    config = uvicorn.Config(create_simulator_app(simulator, secret=SECRET), port=0, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    listener = config.bind_socket()
    # Callers that come before the server is up wait in the queue.
    listener.listen()
    serving = asyncio.create_task(server.serve([listener]))
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    await serving
    listener.close()
