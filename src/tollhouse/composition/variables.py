"""Checks of environment variables: hosts, URLs, and unknown names."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from ipaddress import ip_address
from urllib.parse import urlsplit

PREFIX = "TOLLHOUSE_"
#: Variables that had another name before.
RENAMED = {"METRICS_PORT": "HEALTH_PORT"}

_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?", re.ASCII)
_UNWANTED = re.compile(r"[\x00-\x20\x7f\\]")


def check_host(host: str) -> str:
    """Return the host of a port to listen on, without brackets. Raises ValueError."""
    host = host.strip()
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not _is_address(bare) and (bare != host or not _is_name(host)):
        raise ValueError("must be an address such as 127.0.0.1 or ::1, or the name of a host, without a port")
    return bare


def check_base_url(url: str) -> str:
    """Return a base URL without a slash at its end. Raises ValueError."""
    text = "must be a URL such as https://pay.example, with nothing after its path"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(text) from None
    host = parts.hostname or ""
    is_plain = parts.scheme in {"http", "https"} and "@" not in parts.netloc and not _UNWANTED.search(url)
    if not is_plain or "?" in url or "#" in url or port == 0 or not (_is_address(host) or _is_name(host)):
        raise ValueError(text)
    return url.rstrip("/")


def check_database_url(url: str) -> str:
    """Return the URL of a database. It may name several hosts; the driver reads it. Raises ValueError."""
    scheme, separator, rest = url.partition("://")
    if scheme not in {"postgresql", "postgres"} or not separator or not rest or _UNWANTED.search(url):
        raise ValueError("must be a URL such as postgresql://user:password@host/database")
    return url


def find_unknown(environment: Iterable[str], known: Collection[str]) -> dict[str, str | None]:
    """Return unknown variables with our prefix, each with a similar known one."""
    names = [name.upper() for name in known]
    unknown: dict[str, str | None] = {}
    for variable in sorted(environment):
        name = variable.upper().removeprefix(PREFIX)
        if variable.upper().startswith(PREFIX) and name not in names:
            close = get_close_matches(name, names, n=1, cutoff=0.6)
            meant = RENAMED.get(name) or (close[0] if close else None)
            unknown[variable] = meant and PREFIX + meant
    return unknown


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_name(text: str) -> bool:
    """Return whether a text is a host name; digits and dots alone are an invalid address."""
    return len(text) <= 253 and _HOST_NAME.fullmatch(text) is not None and not re.fullmatch(r"[0-9.]+", text)
