"""Cross-origin calls: scripts of merchants' pages call the paths that are for browsers.

Rejections have the headers too, or the page could not read them.
"""

from __future__ import annotations

from collections.abc import Callable

from tollhouse.http.headers import Headers
from tollhouse.http.requests import Request

MAX_AGE_SECONDS = 7_200
ALLOWED_HEADERS = b"content-type, x-requested-with, x-request-id"
EXPOSED_HEADERS = b"x-request-id, retry-after, idempotent-replay"

VARY = (b"vary", b"Origin")
PREFLIGHT: Headers = [
    (b"access-control-allow-methods", b"POST"),
    (b"access-control-allow-headers", ALLOWED_HEADERS),
    (b"access-control-max-age", b"%d" % MAX_AGE_SECONDS),
]

#: Tells whether pages of an origin may call.
IsOriginAllowed = Callable[[str], bool]


def build_cors_headers(request: Request, is_allowed: IsOriginAllowed) -> Headers:
    """Return what the response says of the page that asks; to OPTIONS, what that page may send too."""
    origin = request.headers.get("origin", None)
    if origin is None or not is_allowed(origin):
        return [VARY]
    headers = [
        VARY,
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-expose-headers", EXPOSED_HEADERS),
    ]
    return [*headers, *PREFLIGHT] if request.method == "OPTIONS" else headers
