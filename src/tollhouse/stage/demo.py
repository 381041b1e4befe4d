"""The demo merchant, created at the first start of `tollhouse dev` and kept at later ones."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tollhouse.catalog.model import Offset, Price
from tollhouse.catalog.store import insert_site, insert_sku, update_site_host
from tollhouse.kernel.money import Currency, Money
from tollhouse.merchants.model import new_api_key
from tollhouse.merchants.people import ensure_user
from tollhouse.merchants.store import insert_api_key, insert_merchant
from tollhouse.storage.database import Database

MERCHANT_ID = 1
#: The site ID of the public quickstart.
SITE_ID = 983_759_353
SITE_NAME = "shop.example"
PORTAL_EMAIL = "demo@shop.example"

USD = Currency.of("USD")
PREMIUM_MONTHLY = (
    Price(Offset(0, "d"), Money(1999, USD), repeat=False),
    Price(Offset(30, "d"), Money(1999, USD), repeat=True),
)
ONE_TIME = (Price(Offset(0, "d"), Money(999, USD), repeat=False),)
SKUS = (
    ("PREMIUM_MONTHLY", "Premium Monthly", "subscription", PREMIUM_MONTHLY),
    ("ONE_TIME", "One time", "one-time", ONE_TIME),
)


@dataclass(frozen=True, slots=True)
class PortalLogin:
    """The portal login of the demo merchant."""

    url: str
    email: str
    password: str


@dataclass(frozen=True, slots=True)
class Demo:
    """The content of `demo.json`: everything needed for a first payment."""

    baseUrl: str
    apiKey: str
    ipnSecret: str
    siteId: str
    portal: PortalLogin


def load_or_create_demo(path: Path, *, base_url: str) -> Demo:
    """Return the demo of an earlier start with the present URL, or create a new one."""
    known = _read(path)
    api_key = known.get("apiKey") or new_api_key("stage")
    password = known.get("portal", {}).get("password") or secrets.token_urlsafe(12)
    return Demo(
        baseUrl=base_url,
        apiKey=api_key,
        ipnSecret=known.get("ipnSecret") or api_key,
        siteId=str(SITE_ID),
        portal=PortalLogin(f"{base_url}/portal", PORTAL_EMAIL, password),
    )


def write_demo(path: Path, demo: Demo) -> None:
    """Write `demo.json`, readable by its owner only."""
    unfinished = path.with_name(path.name + ".new")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(json.dumps(asdict(demo), indent=2) + "\n")
    unfinished.replace(path)


async def ensure_demo(database: Database, demo: Demo, *, seal_ipn_secret: Callable[[int, str], bytes]) -> None:
    """Create the demo's merchant, key, portal user, site and SKUs if they are missing."""
    addresses = {"ipn_url": f"{demo.baseUrl}/stage/inbox", "redirect_url": f"{demo.baseUrl}/stage/thanks"}
    async with database.transaction() as connection:
        await insert_merchant(
            connection, merchant_id=MERCHANT_ID, name="Demo", ipn_secret=seal_ipn_secret(MERCHANT_ID, demo.ipnSecret)
        )
        await insert_api_key(connection, merchant_id=MERCHANT_ID, key=demo.apiKey)
        await ensure_user(connection, merchant_id=MERCHANT_ID, email=demo.portal.email, password=demo.portal.password)
        await insert_site(
            connection,
            merchant_id=MERCHANT_ID,
            site_id=SITE_ID,
            name=SITE_NAME,
            external_id="demo",
            descriptor=SITE_NAME,
            delayed_capture=True,
            **addresses,
        )
        # The port may differ from the previous start, so the callback URL is updated.
        await update_site_host(connection, merchant_id=MERCHANT_ID, site_id=SITE_ID, **addresses)
        for name, title, kind, prices in SKUS:
            await insert_sku(
                connection, merchant_id=MERCHANT_ID, site_id=SITE_ID, name=name, title=title, kind=kind, prices=prices
            )


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
