"""The demo merchant: made once, and the same at every later start."""

from __future__ import annotations

from pathlib import Path

from tollhouse.merchants.passwords import verify_password
from tollhouse.stage.demo import MERCHANT_ID, Demo, ensure_demo, load_or_create_demo
from tollhouse.storage.database import Database


async def start(database: Database, demo: Demo) -> None:
    """Do what a start does."""
    await ensure_demo(database, demo, seal_ipn_secret=lambda _, secret: secret.encode())


def draw(port: int) -> Demo:
    """Draw a demo at a port."""
    return load_or_create_demo(Path("/nonexistent/demo.json"), base_url=f"http://127.0.0.1:{port}")


async def test_the_demo_follows_its_address(database: Database) -> None:
    """Started on another port, the demo's callbacks and cardholders go there."""
    await start(database, draw(8080))
    await start(database, draw(9090))
    async with database.acquire() as connection:
        [row] = await connection.fetch("select ipn_url, redirect_url from site where merchant_id = $1", MERCHANT_ID)
    assert tuple(row) == ("http://127.0.0.1:9090/stage/inbox", "http://127.0.0.1:9090/stage/thanks")


async def test_addresses_that_a_merchant_chose_stay(database: Database) -> None:
    """A site whose addresses were changed to other pages keeps them."""
    await start(database, draw(8080))
    async with database.acquire() as connection:
        await connection.execute("update site set ipn_url = 'https://a.example/ipn', redirect_url = ''")
    await start(database, draw(9090))
    async with database.acquire() as connection:
        [row] = await connection.fetch("select ipn_url, redirect_url from site where merchant_id = $1", MERCHANT_ID)
    assert tuple(row) == ("https://a.example/ipn", "")


async def test_the_password_of_demo_json_opens_the_portal(database: Database) -> None:
    """The user's password is that of demo.json, also when the file was drawn anew; it is hashed anew only then."""
    first, second = draw(8080), draw(8080)
    hashes = []
    for _ in range(2):
        await start(database, first)
        async with database.acquire() as connection:
            hashes.append(await connection.fetchval("select password_hash from portal_user"))
    verify_password(hashes[0], first.portal.password)
    assert hashes[0] == hashes[1]
    await start(database, second)
    async with database.acquire() as connection:
        [row] = await connection.fetch("select password_hash from portal_user")
    verify_password(row["password_hash"], second.portal.password)
