"""URLs for the HTTP client as they were given: it would undo escapes and write others."""

from __future__ import annotations

from yarl import URL

from tollhouse.kernel.urls import build_target


def build_exact_url(url: str) -> URL:
    """Build the URL that is called, byte for byte. Raises AddressRefused for what is none.

    The query goes in with the path, because the client drops an empty one.
    """
    target = build_target(url)
    return URL.build(scheme=target.scheme, authority=target.authority, path=target.path, encoded=True)
