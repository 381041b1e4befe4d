"""The origins allowed to call the paths for browsers, kept in memory so that a preflight needs no database."""

from __future__ import annotations

import re

from tollhouse.catalog.names import is_public_suffix
from tollhouse.catalog.store import select_cors_names
from tollhouse.storage.database import Database

#: An https origin as browsers send it (RFC 6454, 6.2), with or without the default port.
ORIGIN_FORM = re.compile(r"https://((?:[a-z0-9_-]+\.)*[a-z0-9_-]+)(?::443)?", re.IGNORECASE | re.ASCII)


def is_below(origin: str, names: frozenset[str]) -> bool:
    """Return whether an origin is https and its host is one of these names, or below one."""
    form = ORIGIN_FORM.fullmatch(origin)
    if form is None:
        return False
    labels = form[1].lower().split(".")
    return any(".".join(labels[index:]) in names for index in range(len(labels)))


class AllowedOrigins:
    """The host names of sites whose scripts may call, kept in memory."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._names: frozenset[str] = frozenset()

    async def refresh(self) -> None:
        """Load the names again."""
        async with self._database.acquire() as connection:
            names = await select_cors_names(connection)
        # A site may have a name that was accepted before public suffixes were rejected, or before the list had it.
        self._names = frozenset(name for name in names if not is_public_suffix(name))

    def is_allowed(self, origin: str) -> bool:
        """Return whether scripts of this origin may call."""
        return is_below(origin, self._names)
