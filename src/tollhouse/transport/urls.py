"""Build URLs for the HTTP client that it sends unchanged. By default it would rewrite escapes."""

from __future__ import annotations

from yarl import URL

from tollhouse.kernel.urls import build_target


def build_exact_url(url: str) -> URL:
    """Build the URL that is called, byte for byte. Raises AddressRefused if it is malformed.

    The query is passed with the path, because the client drops an empty one.
    """
    target = build_target(url)
    return URL.build(scheme=target.scheme, authority=target.authority, path=target.path, encoded=True)
