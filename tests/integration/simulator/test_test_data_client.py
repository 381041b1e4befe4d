"""The gateway's way to the issuer's test data, over HTTP as between two processes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from tests.support.simulator import SECRET

from tollhouse.acquirers import test_data as data
from tollhouse.kernel.errors import NotFound, RequestIdReused, Unavailable
from tollhouse.kernel.money import Currency, Money
from tollhouse.transport.http import HttpTransport

HUNDRED = Money(10000, Currency.of("USD"))
#: What the merchant's clock shows.
NOW = datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)


@pytest.fixture
async def client(edge: str) -> AsyncIterator[data.TestDataClient]:
    """A client of test payment data, as of a simulator in another process."""
    way = HttpTransport(f"{edge}/simulator", authorization=f"Bearer {SECRET}")
    yield data.TestDataClient(way, lambda _: NOW)
    await way.close()


def build_request(kind: data.Type = "visa", key: str | None = None, digest: str | None = None) -> data.TestDataRequest:
    """Return the request for a card with 100.00 USD and every option."""
    ips = [f"2001:db8:1111:2222:3333:4444:5555:{n:04x}" for n in range(50)]
    comment = "\N{SNOWMAN}" * 255
    return data.TestDataRequest(
        kind, HUNDRED, ips, emulate3ds=False, expired=False, comment=comment, request_key=key, request_digest=digest
    )


async def test_test_data_is_created_read_changed_and_deleted(client: data.TestDataClient) -> None:
    """Created data is found, changed and deleted; missing data is NotFound."""
    made = await client.create(1, build_request())

    assert await client.read(1, made.id) == made
    assert (await client.change(1, made.id, balanceMinor=5)).balance == Money(5, Currency.of("USD"))
    await client.delete(1, made.id)
    for asking in (
        client.read(1, made.id),
        client.change(1, made.id, blocked=True),
        client.delete(1, made.id),
        client.read(2, 7),
    ):
        with pytest.raises(NotFound):
            await asking


@pytest.mark.slow
async def test_a_full_page_fits(client: data.TestDataClient) -> None:
    """The largest page of the largest cards is not too long an answer."""
    made = [await client.create(1, build_request()) for _ in range(100)]
    page, total = await client.list(1, type_=None, limit=100, offset=0)

    assert (page, total) == (made[::-1], 100)


async def test_a_request_of_another_body(client: data.TestDataClient) -> None:
    """A request's name with another digest is refused."""
    made = await client.create(1, build_request(key="k", digest="d"))

    assert await client.create(1, build_request(key="k", digest="d")) == made
    with pytest.raises(RequestIdReused):
        await client.create(1, build_request(key="k", digest="other"))


async def test_nobody_there() -> None:
    """A simulator that is away is Unavailable."""
    way = HttpTransport("http://127.0.0.1:9")
    with pytest.raises(Unavailable):
        await data.TestDataClient(way, lambda _: NOW).read(1, 1)
    await way.close()
