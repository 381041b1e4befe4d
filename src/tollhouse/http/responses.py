"""The responses that handlers return."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from http.cookies import SimpleCookie

from msgspec import Struct

from tollhouse.http.asgi import NO_SNIFF, NO_STORE, Headers, Send, has_no_body
from tollhouse.http.requests import Request
from tollhouse.kernel.rendered_response import RenderedResponse

JSON = "application/json"
HTML = "text/html"
CSS = "text/css"
JAVASCRIPT = "text/javascript"

REPLAYED = {"Idempotent-Replay": "true"}
#: Default headers by media type.
_PROTECTING = {JSON: (NO_SNIFF, NO_STORE)}


class Response(Struct, frozen=True):
    """A whole response. `cookies` are values of `Set-Cookie`, made by `build_cookie`."""

    body: bytes = b""
    status: int = 200
    media_type: str = JSON
    headers: Mapping[str, str] = {}
    cookies: tuple[str, ...] = ()

    def encode_headers(self) -> Headers:
        """Return the headers of the response, including those about its body. JSON is neither sniffed nor stored.

        A response that cannot have a body has no type and length (RFC 9110, 8.6); a response to HEAD has both.
        """
        length = (b"content-length", b"%d" % len(self.body))
        if not (self.headers or self.cookies or has_no_body(self.status)):
            return [_encode_type(self.media_type), length, *_PROTECTING.get(self.media_type, ())]
        own = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self.headers.items()]
        cookies = [(b"set-cookie", cookie.encode("latin-1")) for cookie in self.cookies]
        if has_no_body(self.status):
            return own + cookies
        names = {name for name, _ in own}
        protecting = [header for header in _PROTECTING.get(self.media_type, ()) if header[0] not in names]
        return [*own, _encode_type(self.media_type), length, *cookies, *protecting]

    async def send(self, request: Request, send: Send, headers: Headers) -> None:
        """Send the response with these headers, without its body for a HEAD request."""
        body = b"" if request.method == "HEAD" or has_no_body(self.status) else self.body
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


@cache
def _encode_type(media_type: str) -> tuple[bytes, bytes]:
    charset = "; charset=utf-8" if media_type.startswith("text/") else ""
    return (b"content-type", f"{media_type}{charset}".encode("latin-1"))


def build_http_response(rendered: RenderedResponse) -> Response:
    """Return the response to a merchant's request; a replay has a header."""
    return Response(rendered.body, rendered.status, headers=REPLAYED if rendered.is_replay else {})


def build_html_response(
    html: str, *, status: int = 200, headers: Mapping[str, str], cookies: tuple[str, ...] = ()
) -> Response:
    """Return a page."""
    return Response(html.encode(), status, HTML, headers, cookies)


def redirect(url: str, *, headers: Mapping[str, str]) -> Response:
    """Redirect the browser to another page, which it loads with GET."""
    return Response(b"", 303, HTML, {**headers, "Location": url})


def build_file_response(request: Request, content: bytes, media_type: str) -> Response:
    """Return a file that browsers revalidate at each use; 304 if they have this content."""
    tag = build_tag(content)
    headers = {"Cache-Control": "no-cache", "ETag": tag, "X-Content-Type-Options": "nosniff"}
    if request.headers.get("if-none-match") == tag:
        return Response(b"", 304, media_type, headers)
    return Response(content, 200, media_type, headers)


def build_tag(content: bytes) -> str:
    """Return the entity tag of a content."""
    return f'"{hashlib.sha256(content).hexdigest()[:16]}"'


def build_cookie(name: str, value: str, *, path: str, is_secure: bool, max_age_seconds: int | None = None) -> str:
    """Return a cookie that scripts cannot read and that forms of other sites do not send."""
    cookie = SimpleCookie({name: value})
    attributes = {"path": path, "httponly": True, "samesite": "lax", "secure": is_secure, "max-age": max_age_seconds}
    for attribute, content in attributes.items():
        if content is not None:
            cookie[name][attribute] = content
    return cookie.output(header="").strip()
