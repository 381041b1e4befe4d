"""The names that the gateway gives to SKUs of merchants: `SITE_NAME_COM_USD`, `SITE_NAME_COM_USD_2`."""

from __future__ import annotations

import re
from functools import cache

from publicsuffixlist import PublicSuffixList

#: Characters of a SKU name.
MAX_NAME_LENGTH = 36
#: The largest number in a name: seven digits after an underscore.
MAX_COUNT = 9_999_999
TECHNICAL_PREFIX = "TECH_"

#: Characters left for the site between the other parts.
_MAX_SITE = MAX_NAME_LENGTH - len("_USD") - len(f"_{MAX_COUNT}")


def build_stem(site_name: str, currency: str) -> str:
    """Return the common beginning of the names of a site's SKUs in one currency."""
    site = re.sub(r"[^A-Z0-9]+", "_", site_name.upper()).strip("_")[:_MAX_SITE].rstrip("_")
    return f"{site or 'SKU'}_{currency}"


def build_name(stem: str, count: int) -> str:
    """Return the name of the first, second, ... SKU of a stem. The first has no number."""
    return stem if count == 1 else f"{stem}_{count}"


def is_public_suffix(host: str) -> bool:
    """Return whether the public may register names below a host, as below `co.uk` or `github.io`.

    Such a host is not a site.

    Uses the public suffix list of its library, including private suffixes.
    """
    return bool(_suffixes().is_public(host))


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


def is_technical(name: str) -> bool:
    """Return whether a name is that of the technical SKU that every site has from the start."""
    return name.startswith(TECHNICAL_PREFIX)
