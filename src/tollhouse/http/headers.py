"""The headers that every response has, whatever application it comes from."""

from __future__ import annotations

Headers = list[tuple[bytes, bytes]]

JSON_TYPE = b"application/json"
NO_SNIFF = (b"x-content-type-options", b"nosniff")
NO_STORE = (b"cache-control", b"no-store")
#: Two years, as browsers ask for it; only where the operator has declared that the gateway is reached by TLS.
STRICT_TRANSPORT = (b"strict-transport-security", b"max-age=63072000")
FRAMING = frozenset({b"content-length", b"transfer-encoding"})


def complete_headers(status: int, headers: Headers, *, is_secure: bool) -> Headers:
    """Return the headers of a response with those that every response has.

    A response that cannot have a body says nothing of its length (RFC 9110, 8.6). One to HEAD may, and keeps it.
    """
    if has_no_body(status):
        headers = [header for header in headers if header[0].lower() not in FRAMING]
    present = {name.lower(): value for name, value in headers}
    added = []
    if present.get(b"content-type", b"").startswith(JSON_TYPE):
        added += [header for header in (NO_SNIFF, NO_STORE) if header[0] not in present]
    if is_secure:
        added.append(STRICT_TRANSPORT)
    return [*headers, *added]


def has_no_body(status: int) -> bool:
    """Tell whether a response of this status never has a body (RFC 9110, 6.4.1)."""
    return status < 200 or status in {204, 304}
