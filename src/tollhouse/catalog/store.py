"""Rows of sites and SKUs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tollhouse.catalog.model import Price, price_to_json
from tollhouse.storage.queries import load_queries

if TYPE_CHECKING:
    from tollhouse.storage.database import PlainConnection

queries = load_queries("tollhouse.catalog")


async def insert_site(connection: PlainConnection, **columns: Any) -> None:
    """Create a site; one that exists stays as it is."""
    await queries.insert_site(connection, **columns)


async def update_site_host(
    connection: PlainConnection, *, merchant_id: int, site_id: int, ipn_url: str, redirect_url: str
) -> None:
    """Move a site's addresses to another host, each where its path is the same: one that was chosen since stays."""
    await queries.update_site_host(
        connection, merchant_id=merchant_id, site_id=site_id, ipn_url=ipn_url, redirect_url=redirect_url
    )


async def insert_sku(
    connection: PlainConnection,
    *,
    merchant_id: int,
    site_id: int,
    name: str,
    title: str,
    kind: str,
    prices: Sequence[Price],
) -> None:
    """Create a SKU; one that exists stays as it is."""
    await queries.insert_sku(
        connection,
        merchant_id=merchant_id,
        name=name,
        site_id=site_id,
        title=title,
        kind=kind,
        prices=json.dumps([price_to_json(price) for price in prices]),
    )


async def select_cors_names(connection: PlainConnection) -> frozenset[str]:
    """Return the host names of the sites whose pages may call from a browser, in lower case."""
    return frozenset([row["name"].lower() async for row in queries.select_cors_names(connection)])
