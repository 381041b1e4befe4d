"""The files that the pages of several edges share: one stylesheet and the mark, under `/static/`."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from tollhouse.api.access import AnyRequest
from tollhouse.kernel.errors import NotFound

TYPES = {"tollhouse.css": "text/css", "tollhouse.svg": "image/svg+xml"}


def static_handlers() -> list[HTTPRouteHandler]:
    """Return the handlers. A browser asks each time whether its copy is still the right one."""

    @get("/static/{name:str}", sync_to_thread=False)
    def get_static(request: AnyRequest, name: FromPath[str]) -> Response[bytes]:
        """Serve a shared file."""
        if name not in TYPES:
            raise NotFound
        return serve(request, _read(name), TYPES[name])

    return [get_static]


def serve(request: AnyRequest, content: bytes, media_type: str) -> Response[bytes]:
    """Answer with a file, or with 304 to a browser that has it."""
    tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    headers = {"Cache-Control": "no-cache", "ETag": tag, "X-Content-Type-Options": "nosniff"}
    if request.headers.get("if-none-match") == tag:
        return Response(b"", status_code=304, media_type=media_type, headers=headers)
    return Response(content, media_type=media_type, headers=headers)


@cache
def _read(name: str) -> bytes:
    return files("tollhouse").joinpath("static", name).read_bytes()
