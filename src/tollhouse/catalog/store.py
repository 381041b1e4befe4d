"""Database access for sites and SKUs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from tollhouse.catalog.model import (
    Price,
    Site,
    SiteChange,
    SiteEntry,
    Sku,
    SkuDraft,
    SkuEntry,
    price_from_json,
    price_to_json,
)
from tollhouse.storage.database import PlainConnection
from tollhouse.storage.queries import load_queries

queries = load_queries("tollhouse.catalog")


async def insert_site(connection: PlainConnection, **columns: Any) -> bool:
    """Create a site with its technical SKU, and return whether it was missing. Keep an existing site unchanged."""
    return bool(await queries.insert_site(connection, **columns))


async def select_site_entry(connection: PlainConnection, *, merchant_id: int, site_id: int) -> SiteEntry | None:
    """Return all fields of a merchant's site, or None."""
    row = await queries.select_site_entry(connection, merchant_id=merchant_id, site_id=site_id)
    return _read_site(row) if row else None


async def update_site(
    connection: PlainConnection, *, merchant_id: int, site_id: int, change: SiteChange
) -> SiteEntry | None:
    """Update the given fields of a site in one statement, and return all fields. Return None if it does not exist."""
    columns = asdict(change) | {"extras": json.dumps(dict(change.extras))}
    row = await queries.update_site(connection, merchant_id=merchant_id, site_id=site_id, **columns)
    return _read_site(row) if row else None


async def update_site_host(
    connection: PlainConnection, *, merchant_id: int, site_id: int, ipn_url: str, redirect_url: str
) -> None:
    """Move a site's URLs to another host, each if its path is unchanged. Keep a URL that was set since."""
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
    """Create a SKU. Keep an existing one unchanged."""
    await queries.insert_sku(
        connection,
        merchant_id=merchant_id,
        name=name,
        site_id=site_id,
        title=title,
        kind=kind,
        prices=json.dumps([price_to_json(price) for price in prices]),
    )


async def insert_named_sku(connection: PlainConnection, *, merchant_id: int, entry: SkuDraft) -> SkuEntry | None:
    """Create a SKU, or return None if its name exists."""
    row = await queries.insert_named_sku(connection, merchant_id=merchant_id, **_columns_of(entry))
    return _read_sku(row) if row else None


async def count_sku_stem(connection: PlainConnection, *, merchant_id: int, stem: str) -> int:
    """Count one more name of a stem. A concurrent count of the same stem waits until this database transaction ends."""
    counted: int = await queries.count_sku_stem(connection, merchant_id=merchant_id, stem=stem)
    return counted


async def select_sku_entry(connection: PlainConnection, *, merchant_id: int, name: str) -> SkuEntry | None:
    """Return all fields of a merchant's SKU, or None."""
    row = await queries.select_sku_entry(connection, merchant_id=merchant_id, name=name)
    return _read_sku(row) if row else None


async def lock_sku_entry(connection: PlainConnection, *, merchant_id: int, name: str) -> SkuEntry | None:
    """Lock a merchant's SKU and return all its fields, or None."""
    row = await queries.lock_sku_entry(connection, merchant_id=merchant_id, name=name)
    return _read_sku(row) if row else None


async def update_sku(connection: PlainConnection, *, merchant_id: int, entry: SkuDraft) -> SkuEntry:
    """Update a locked SKU, and return all its fields."""
    return _read_sku(await queries.update_sku(connection, merchant_id=merchant_id, **_columns_of(entry)))


async def select_cors_names(connection: PlainConnection) -> frozenset[str]:
    """Return the host names of sites whose pages may call the API from browsers, in lower case."""
    return frozenset([row["name"].lower() async for row in queries.select_cors_names(connection)])


def _read_site(row: Mapping[str, Any]) -> SiteEntry:
    site = Site(**{field.name: row[field.name] for field in fields(Site)})
    return SiteEntry(
        site,
        external_id=row["external_id"],
        auto_redirect=row["auto_redirect"],
        subscription_events=row["subscription_events"],
        extra_events=tuple(row["extra_events"]),
        extras=json.loads(row["extras"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _read_sku(row: Mapping[str, Any]) -> SkuEntry:
    prices = tuple(price_from_json(price) for price in json.loads(row["prices"]))
    return SkuEntry(
        Sku(row["site_id"], row["name"], row["title"], prices),
        kind=row["kind"],
        external_id=row["external_id"],
        is_shown=row["shown_on_payment_page"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _columns_of(draft: SkuDraft) -> dict[str, Any]:
    return {
        "name": draft.sku.name,
        "site_id": draft.sku.site_id,
        "title": draft.sku.title,
        "prices": json.dumps([price_to_json(price) for price in draft.sku.prices]),
        "kind": draft.kind,
        "external_id": draft.external_id,
        "is_shown": draft.is_shown,
    }
