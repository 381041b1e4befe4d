"""What the gateway calls the products that merchants make: `SITE_NAME_COM_USD`, `SITE_NAME_COM_USD_2`. Pure."""

from __future__ import annotations

import re
from functools import cache

from publicsuffixlist import PublicSuffixList

#: Of a product's name (wire contract, 1.4).
MAX_NAME_LENGTH = 36
#: What a name may count up to: seven digits after an underscore.
MAX_COUNT = 9_999_999
TECHNICAL_PREFIX = "TECH_"

#: What is left for the site between these ends.
_MAX_SITE = MAX_NAME_LENGTH - len("_USD") - len(f"_{MAX_COUNT}")


def build_stem(site_name: str, currency: str) -> str:
    """Return what the names of a site's products in one currency have in common."""
    site = re.sub(r"[^A-Z0-9]+", "_", site_name.upper()).strip("_")[:_MAX_SITE].rstrip("_")
    return f"{site or 'SKU'}_{currency}"


def build_name(stem: str, count: int) -> str:
    """Return the name of a stem's first, second, ... product; the first goes without a number."""
    return stem if count == 1 else f"{stem}_{count}"


def is_public_suffix(host: str) -> bool:
    """Tell whether anybody may register names below a host, as below `co.uk` or `github.io`: it is nobody's site.

    By the public suffix list that comes with its library, with the suffixes of companies.
    """
    return bool(_suffixes().is_public(host))


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


def is_technical(name: str) -> bool:
    """Tell whether a name is that of the product which every site has from the start."""
    return name.startswith(TECHNICAL_PREFIX)
