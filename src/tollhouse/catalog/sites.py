"""Create sites. A change of a site is a single statement of the store, so that concurrent changes are not lost."""

from __future__ import annotations

from tollhouse.catalog.model import SiteChange, SiteEntry
from tollhouse.catalog.store import insert_site, update_site
from tollhouse.kernel.errors import InternalError
from tollhouse.storage.database import PlainConnection
from tollhouse.storage.ids import reserve_ids

#: Consecutive numbers that may be in use, by sites with chosen IDs.
MAX_TAKEN_NUMBERS = 100


async def create_site(connection: PlainConnection, *, merchant_id: int, change: SiteChange) -> SiteEntry:
    """Create a site and its technical SKU in the caller's database transaction."""
    for _ in range(MAX_TAKEN_NUMBERS):
        site_id = await reserve_ids(connection, "object", 1)
        is_made = await insert_site(
            connection,
            merchant_id=merchant_id,
            site_id=site_id,
            name=change.name,
            external_id=change.external_id or "",
            ipn_url=change.ipn_url or "",
            redirect_url=change.redirect_url or "",
            descriptor=change.descriptor or "",
            delayed_capture=bool(change.delayed_capture),
        )
        entry = is_made and await update_site(connection, merchant_id=merchant_id, site_id=site_id, change=change)
        if entry:
            return entry
    raise InternalError("No free ID was found for a new site.")
