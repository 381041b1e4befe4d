"""A process that is paused in the middle of a payment, and a network that holds a request up: no money stays taken.

Real processes: `simulate`, `serve` and `work` on one database. The bank's journal is the judge.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import asyncpg
import pytest
from tests.support.cardholders import BROWSER
from tests.torture.networks import NetworkedDeployment, open_deployment

if TYPE_CHECKING:
    from pathlib import Path

WAIT_SECONDS = 60.0

#: Approvals that the bank has not reversed.
COUNT_TAKEN = "select count(*) from simulator.journal where approval_code is not null and reversed_at is null"

APPROVES = "4024007179366348"
UNAVAILABLE = "503"


def build_payment(number: str, **source: Any) -> dict[str, Any]:
    """Build a payment with a card."""
    card = {"type": "card", "number": number, "expirationMonth": "12", "expirationYear": "30", "cvv": "009"}
    price = [{"offset": "0d", "amount": 19.99, "currency": "USD"}]
    consumer = {"externalId": "user-1", "firstName": "Jane", "lastName": "Smith", "ip": "203.0.113.45"} | BROWSER
    return {
        "paymentSource": card | source,
        "sku": {"siteId": "983759353", "title": "Premium", "price": price},
        "consumer": consumer,
    }


async def pay(deployment: NetworkedDeployment, body: dict[str, Any]) -> dict[str, Any]:
    """Pay, and return the answer's payment."""
    headers = {"Authorization": deployment.demo.apiKey}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{deployment.serve.url}/payment", json=body, headers=headers) as response,
    ):
        answer = await response.json()
        if response.status == 503:
            return {"code": UNAVAILABLE}
        assert response.status == 201, answer
        payment: dict[str, Any] = answer["payment"]
        return payment


async def wait_for(connection: asyncpg.Connection[Any], statement: str, expected: Any) -> None:
    """Wait until a statement has a value."""
    async with asyncio.timeout(WAIT_SECONDS):
        while await connection.fetchval(statement) != expected:  # noqa: ASYNC110 - other processes bring it about
            await asyncio.sleep(0.1)


async def wait_until_seen(deployment: NetworkedDeployment, path: str, paying: asyncio.Task[Any]) -> None:
    """Wait until a message of a payment is on its way."""
    async with asyncio.timeout(WAIT_SECONDS):
        while path not in deployment.network.seen:
            assert not paying.done(), paying.result()
            await asyncio.sleep(0.01)


@pytest.mark.slow
async def test_a_paused_process_sends_nothing_afterwards(database_dsn: str, data_directory: Path) -> None:
    """Stopped when its intention was committed, past the moment at which the resolver says 1040: nothing is sent."""
    async with open_deployment(database_dsn, data_directory) as deployment:
        connection = await asyncpg.connect(database_dsn)
        assert (await pay(deployment, build_payment(APPROVES)))["status"] == "success"
        deployment.network.seen.clear()
        way = deployment.database_way
        paying = asyncio.create_task(
            pay(deployment, build_payment(APPROVES) | {"metadata": {"note": way.mark.decode()}})
        )
        async with asyncio.timeout(WAIT_SECONDS):
            await way.is_held.wait()
        await asyncio.to_thread(deployment.serve.pause)
        await wait_for(connection, "select count(*) from gateway.transaction where code = '1040'", 1)
        way.release.set()
        deployment.serve.resume()

        payment = await paying
        assert payment["code"] in {"1040", UNAVAILABLE}  # the latter on a machine so slow that the statement timed out
        assert "/acquirer/authorize" not in deployment.network.seen
        assert await connection.fetchval(COUNT_TAKEN) == 1
        await connection.close()


@pytest.mark.slow
async def test_a_request_that_arrives_after_all_is_reversed(database_dsn: str, data_directory: Path) -> None:
    """A request is held up on its way and the bank forgets the reversal: what it takes then is found and given back."""
    async with open_deployment(database_dsn, data_directory) as deployment:
        connection = await asyncpg.connect(database_dsn)
        network, far = deployment.network, deployment.worker_network
        network.held = {"/acquirer/authorize"}
        far.forged["/acquirer/reverse"] = b'{"reference":"REFERENCE","result":"reversed"}'
        paying = asyncio.create_task(pay(deployment, build_payment(APPROVES)))
        await wait_until_seen(deployment, "/acquirer/authorize", paying)
        await asyncio.to_thread(deployment.serve.pause)
        await wait_for(connection, "select code from gateway.transaction", "1040")
        await wait_for(connection, "select acknowledged_at is not null from gateway.reversal", expected=True)
        far.forged.clear()
        network.release.set()
        await wait_for(connection, COUNT_TAKEN, 1)
        deployment.serve.resume()

        payment = await paying
        assert (payment["status"], payment["code"]) in {("fail", "1040"), ("pending", "0")}
        await connection.execute("update gateway.reversal set due_at = now()")  # an hour later
        await wait_for(connection, COUNT_TAKEN, 0)
        await wait_for(connection, "select acknowledged_at is not null from gateway.reversal", expected=True)
        rows = await connection.fetch("select status::text, code from gateway.transaction")
        assert [tuple(row) for row in rows] == [("fail", "1040")]
        await wait_for(connection, "select count(*) from gateway.event", 1)
        assert await connection.fetchval("select reason::text from gateway.reversal") == "late_approval"
        await connection.close()
