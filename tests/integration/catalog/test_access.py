"""Finding sites and SKUs."""

from __future__ import annotations

import pytest
from tests.support.shop import furnish, price

from tollhouse.catalog.access import Catalog
from tollhouse.catalog.store import insert_sku
from tollhouse.storage.database import Database


@pytest.fixture
async def catalog(database: Database) -> Catalog:
    """The catalog of two merchants."""
    await furnish(database)
    return Catalog(database)


async def test_a_site_with_its_rules(catalog: Catalog) -> None:
    """A site has its addresses and the rules that it began with."""
    site = await catalog.site(1, 100)
    assert site is not None
    assert (site.name, site.descriptor, site.ipn_url) == ("shop.example", "SHOP", "http://127.0.0.1:9/site-ipn")
    assert (site.guards_double_clicks, site.cors_enabled, site.proceed_without_3ds) == (True, True, True)
    assert (site.delayed_capture, site.three_ds, site.ipn_format) == (False, "when_asked", "json")


async def test_a_sku_with_its_schedule(catalog: Catalog) -> None:
    """A SKU has its prices in their order."""
    sku = await catalog.sku(1, "MONTHLY")
    assert sku is not None
    assert sku.prices == (price(999), price(1999, "30d", repeat=True))


async def test_another_merchants_catalog_is_unknown(catalog: Catalog) -> None:
    """Another merchant's site or SKU is unknown, and names are case-sensitive."""
    assert await catalog.site(2, 100) is None
    assert await catalog.site(1, 999) is None
    assert await catalog.sku(2, "MONTHLY") is None
    assert await catalog.sku(1, "monthly") is None


async def test_the_catalog_is_remembered(catalog: Catalog, database: Database) -> None:
    """For some seconds a site is as it was read, also when it was not there."""
    assert await catalog.site(1, 100)
    assert await catalog.sku(1, "NEW") is None
    async with database.acquire() as connection:
        await connection.execute("delete from site where site_id = 200")
        await connection.execute("update site set name = 'renamed'")
        await insert_sku(
            connection, merchant_id=1, site_id=100, name="NEW", title="", kind="one-time", prices=[price(1)]
        )
    site = await catalog.site(1, 100)
    assert site is not None
    assert site.name == "shop.example"
    assert await catalog.sku(1, "NEW") is None
    fresh = await Catalog(database).sku(1, "NEW")
    assert fresh is not None
    assert fresh.prices == (price(1),)
