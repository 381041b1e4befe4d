"""Creating a thing once: the request id, the thing and the answer are there together, or none of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tollhouse.idempotency.create import create_once
from tollhouse.idempotency.model import Claim
from tollhouse.kernel.errors import Invalid, RequestIdReused
from tollhouse.storage.database import Database

CLAIM = Claim(1, "site", "first", b"digest of the body")


class Creation:
    """Counts how often something was created."""

    def __init__(self) -> None:
        self.count = 0

    async def __call__(self, _: Any) -> bytes:
        """Create it, after everybody else had a chance to."""
        await asyncio.sleep(0)
        self.count += 1
        return f"number {self.count}".encode()


async def test_a_repeat_gets_the_first_answer(database: Database) -> None:
    """The second request under an id creates nothing and gets the same bytes, marked as a replay."""
    creation = Creation()
    first = await create_once(database, CLAIM, creation, bytes)
    again = await create_once(database, CLAIM, creation, bytes)
    assert (first.status, first.body, first.is_replay) == (201, b"number 1", False)
    assert (again.status, again.body, again.is_replay) == (201, b"number 1", True)
    assert creation.count == 1


async def test_without_an_id_each_request_creates(database: Database) -> None:
    """A client that sends no request id gets as many things as it asks for."""
    creation = Creation()
    bodies = [(await create_once(database, None, creation, bytes)).body for _ in range(2)]
    assert bodies == [b"number 1", b"number 2"]


async def test_two_at_once_are_one_and_a_repeat(database: Database) -> None:
    """Of concurrent requests under one id, one creates; the others wait for it and get its answer."""
    creation = Creation()
    replies = await asyncio.gather(*(create_once(database, CLAIM, creation, bytes) for _ in range(4)))
    assert {reply.body for reply in replies} == {b"number 1"}
    assert sorted(reply.is_replay for reply in replies) == [False, True, True, True]


async def test_another_body_under_the_same_id_is_refused(database: Database) -> None:
    """A request id names one request."""
    await create_once(database, CLAIM, Creation(), bytes)
    with pytest.raises(RequestIdReused):
        await create_once(database, Claim(1, "site", "first", b"another digest"), Creation(), bytes)


@pytest.mark.parametrize("other", [Claim(2, "site", "first", b"d"), Claim(1, "sku", "first", b"d")])
async def test_an_id_is_the_merchants_and_the_operations_own(database: Database, other: Claim) -> None:
    """The same id of another merchant, or for another operation, is another id."""
    await create_once(database, CLAIM, Creation(), bytes)
    assert not (await create_once(database, other, Creation(), bytes)).is_replay


async def test_a_refusal_leaves_the_id_free(database: Database) -> None:
    """A rejected request writes nothing: the corrected request may use the same ID."""

    async def refuse(_: Any) -> bytes:
        raise Invalid({"name": ["is taken"]})

    with pytest.raises(Invalid):
        await create_once(database, CLAIM, refuse, bytes)
    assert not (await create_once(database, CLAIM, Creation(), bytes)).is_replay
