"""Rows of merchants and their keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tollhouse.merchants.model import digest_api_key
from tollhouse.storage.queries import load_queries

if TYPE_CHECKING:
    from tollhouse.storage.database import PlainConnection

queries = load_queries("tollhouse.merchants")


async def insert_merchant(connection: PlainConnection, *, merchant_id: int, name: str, ipn_secret: bytes) -> None:
    """Create a merchant with its sealed IPN secret; one that exists stays as it is."""
    await queries.insert_merchant(connection, merchant_id=merchant_id, name=name, ipn_secret=ipn_secret)


async def insert_api_key(connection: PlainConnection, *, merchant_id: int, key: str) -> None:
    """Give a merchant an API key, of which a hash and the last four characters are kept."""
    await queries.insert_api_key(connection, merchant_id=merchant_id, digest=digest_api_key(key), hint=key[-4:])


async def select_is_merchant_active(connection: PlainConnection, merchant_id: int) -> bool:
    """Tell whether a merchant may sell, charge and capture."""
    return bool(await queries.select_is_merchant_active(connection, merchant_id=merchant_id))
