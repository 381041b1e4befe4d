"""Rotation of IPN secrets: which secrets are valid, in which order, and until when."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.shop import furnish

from tollhouse.kernel.errors import Invalid, NotFound
from tollhouse.merchants.secrets import (
    MAX_OVERLAP,
    IpnSecrets,
    RotationUnderWay,
    begin_rotation,
    cancel_rotation,
    find_merchant,
    finish_rotation,
    select_rotation_end,
)
from tollhouse.storage.database import Database

OLD, NEW, NEWEST = "", "new", "newest"


@pytest.fixture
async def merchants(database: Database) -> Database:
    """Two merchants, whose sealed secrets are empty."""
    await furnish(database)
    return database


async def read(database: Database, merchant_id: int = 1) -> list[str]:
    """Return the secrets of a merchant, first to last, as a process that starts now reads them."""
    return await IpnSecrets(database, lambda _, sealed: sealed.decode()).of(merchant_id)


async def rotate(database: Database, secret: str, *, overlap: timedelta = timedelta(hours=1)) -> None:
    """Begin a rotation of the first merchant's secret."""
    async with database.transaction() as connection:
        await begin_rotation(connection, merchant_id=1, sealed=secret.encode(), overlap=overlap)


async def end_overlap(database: Database) -> None:
    """Let the end of the overlap lie in the past."""
    async with database.acquire() as connection:
        await connection.execute(
            "update merchant set next_ipn_secret_from = now() - interval '1 second' where merchant_id = 1"
        )


async def test_old_secret_stays_first_until_the_overlap_ends(merchants: Database) -> None:
    """Both secrets are valid in the overlap, the old one first; then the new one is alone."""
    await rotate(merchants, NEW)
    assert await read(merchants) == [OLD, NEW]
    assert await read(merchants, 2) == [OLD]
    await end_overlap(merchants)
    assert await read(merchants) == [NEW]
    await rotate(merchants, NEWEST)
    assert await read(merchants) == [NEW, NEWEST]


async def test_finished_rotation_leaves_the_new_secret(merchants: Database) -> None:
    """A rotation that is finished early leaves the new secret alone."""
    await rotate(merchants, NEW)
    async with merchants.transaction() as connection:
        await finish_rotation(connection, merchant_id=1)
    assert await read(merchants) == [NEW]


async def test_canceled_rotation_leaves_the_old_secret(merchants: Database) -> None:
    """A rotation that is canceled leaves the old secret alone."""
    await rotate(merchants, NEW)
    async with merchants.transaction() as connection:
        await cancel_rotation(connection, merchant_id=1)
    assert await read(merchants) == [OLD]


async def test_leaked_secret_is_replaced_at_once(merchants: Database) -> None:
    """Without an overlap the old secret is not valid any more."""
    await rotate(merchants, NEW, overlap=timedelta())
    assert await read(merchants) == [NEW]


async def test_second_rotation_waits_for_the_first(merchants: Database) -> None:
    """A rotation does not drop a secret that a listener may have by now."""
    await rotate(merchants, NEW)
    with pytest.raises(RotationUnderWay):
        await rotate(merchants, NEWEST)
    assert await read(merchants) == [OLD, NEW]


@pytest.mark.parametrize("overlap", [timedelta(seconds=-1), MAX_OVERLAP + timedelta(seconds=1)])
async def test_overlap_has_bounds(merchants: Database, overlap: timedelta) -> None:
    """An overlap ends before refused deliveries are given up."""
    with pytest.raises(Invalid):
        await rotate(merchants, NEW, overlap=overlap)


@pytest.mark.parametrize("end", [finish_rotation, cancel_rotation])
async def test_only_a_rotation_under_way_ends(merchants: Database, end: object) -> None:
    """Neither finishing nor canceling does anything after the overlap, or without a rotation."""
    assert callable(end)
    for begins in (False, True):
        if begins:
            await rotate(merchants, NEW)
            await end_overlap(merchants)
        async with merchants.transaction() as connection:
            with pytest.raises(NotFound):
                await end(connection, merchant_id=1)
            assert await select_rotation_end(connection, merchant_id=1) is None
    assert await read(merchants) == [NEW]


async def test_merchants_are_found_by_id_and_name(merchants: Database) -> None:
    """A name that several merchants have finds none of them."""
    async with merchants.acquire() as connection:
        assert [await find_merchant(connection, name) for name in ("1", "2", "A", "B")] == [1, 2, 1, 2]
        await connection.execute("update merchant set name = 'A'")
        for name in ("A", "3", ""):
            with pytest.raises(NotFound):
                await find_merchant(connection, name)
