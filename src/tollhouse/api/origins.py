"""The origins whose pages may call the paths for browsers, kept in memory: a preflight touches no database."""

from __future__ import annotations

import re

from tollhouse.catalog.names import is_public_suffix
from tollhouse.catalog.store import select_cors_names
from tollhouse.storage.database import Database

#: An https origin as browsers write it (RFC 6454, 6.2), and the same with the port that it leaves out.
ORIGIN_FORM = re.compile(r"https://((?:[a-z0-9_-]+\.)*[a-z0-9_-]+)(?::443)?", re.IGNORECASE | re.ASCII)


def is_below(origin: str, names: frozenset[str]) -> bool:
    """Tell whether an origin is https and one of these host names, or below one of them."""
    form = ORIGIN_FORM.fullmatch(origin)
    if form is None:
        return False
    labels = form[1].lower().split(".")
    return any(".".join(labels[index:]) in names for index in range(len(labels)))


class AllowedOrigins:
    """The host names of the sites whose pages may call, in memory: a preflight touches no database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._names: frozenset[str] = frozenset()

    async def refresh(self) -> None:
        """Read the names anew."""
        async with self._database.acquire() as connection:
            names = await select_cors_names(connection)
        # A site may bear a name from before such names were refused, or from before the list knew it.
        self._names = frozenset(name for name in names if not is_public_suffix(name))

    def is_allowed(self, origin: str) -> bool:
        """Tell whether pages of this origin may call."""
        return is_below(origin, self._names)
