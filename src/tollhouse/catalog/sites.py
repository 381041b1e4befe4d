"""Making sites. Changing one is a single statement of the store, so that concurrent changes lose nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tollhouse.catalog.store import insert_site, update_site
from tollhouse.kernel.errors import InternalError
from tollhouse.storage.ids import reserve_ids

if TYPE_CHECKING:
    from tollhouse.catalog.model import SiteChange, SiteEntry
    from tollhouse.storage.database import PlainConnection

#: Numbers that may be found taken in a row: by sites whose ids somebody chose.
MAX_TRIES = 100


async def create_site(connection: PlainConnection, *, merchant_id: int, wanted: SiteChange) -> SiteEntry:
    """Create a site, with the technical product that every site has, in the caller's transaction."""
    for _ in range(MAX_TRIES):
        site_id = await reserve_ids(connection, "object", 1)
        is_made = await insert_site(
            connection,
            merchant_id=merchant_id,
            site_id=site_id,
            name=wanted.name,
            external_id=wanted.external_id or "",
            ipn_url=wanted.ipn_url or "",
            redirect_url=wanted.redirect_url or "",
            descriptor=wanted.descriptor or "",
            delayed_capture=bool(wanted.delayed_capture),
        )
        entry = is_made and await update_site(connection, merchant_id=merchant_id, site_id=site_id, change=wanted)
        if entry:
            return entry
    raise InternalError("The numbers for new sites are taken.")
