"""The static files of the pages, with the digests by which browsers verify them."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

PATH = "/3ds/assets/"
TYPES = {"css": "text/css", "js": "text/javascript"}
NAMES = frozenset({"challenge.js", "checkout.css", "collect.js", "method.js", "pay.css", "pay.js", "wait.js"})


@cache
def read_asset(name: str) -> bytes:
    """Return a file's content. Raises KeyError for an unknown name."""
    if name not in NAMES:
        raise KeyError(name)
    return files(__package__).joinpath("static", name).read_bytes()


@cache
def asset(name: str) -> str:
    """Return a file's URL, which changes with its content."""
    return f"{PATH}{name}?v={hashlib.sha256(read_asset(name)).hexdigest()[:12]}"


@cache
def integrity(name: str) -> str:
    """Return a file's digest for Subresource Integrity."""
    return "sha256-" + base64.b64encode(hashlib.sha256(read_asset(name)).digest()).decode()
