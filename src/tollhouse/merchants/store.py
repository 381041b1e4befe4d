"""Database access for merchants and their keys."""

from __future__ import annotations

from tollhouse.merchants.model import digest_api_key
from tollhouse.storage.database import PlainConnection
from tollhouse.storage.queries import load_queries

queries = load_queries("tollhouse.merchants")


async def insert_merchant(connection: PlainConnection, *, merchant_id: int, name: str, ipn_secret: bytes) -> None:
    """Create a merchant with its sealed IPN secret. Keep an existing one unchanged."""
    await queries.insert_merchant(connection, merchant_id=merchant_id, name=name, ipn_secret=ipn_secret)


async def insert_api_key(connection: PlainConnection, *, merchant_id: int, key: str) -> None:
    """Add an API key to a merchant. Only its hash and last four characters are stored."""
    await queries.insert_api_key(connection, merchant_id=merchant_id, digest=digest_api_key(key), hint=key[-4:])


async def select_is_merchant_active(connection: PlainConnection, merchant_id: int) -> bool:
    """Return whether a merchant may sell, charge and capture."""
    return bool(await queries.select_is_merchant_active(connection, merchant_id=merchant_id))
