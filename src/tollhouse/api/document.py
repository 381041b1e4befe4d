"""`/openapi.json`, and `/docs` to read it: rendered here, without a script and without a request to anybody else."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from tollhouse.api.access import AnyRequest
from tollhouse.api.openapi import build_document
from tollhouse.kernel.codes import all_codes
from tollhouse.wire.render import render_json

PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

pages = Environment(
    loader=PackageLoader("tollhouse.api"), autoescape=select_autoescape(), trim_blocks=True, lstrip_blocks=True
)


def document_handlers(base_url: str) -> list[HTTPRouteHandler]:
    """Return the handlers. The document is made once, from the routes of the application that serves it."""
    made: dict[str, dict[str, Any]] = {}

    def document_of(request: AnyRequest) -> dict[str, Any]:
        if "document" not in made:
            made["document"] = build_document(request.app.routes, base_url=base_url)
        return made["document"]

    @get("/openapi.json", sync_to_thread=False)
    def get_document(request: AnyRequest) -> Response[bytes]:
        """Return the OpenAPI document."""
        return Response(render_json(document_of(request)), media_type="application/json")

    @get("/docs", sync_to_thread=False)
    def get_docs(request: AnyRequest) -> Response[bytes]:
        """Show the document as a page."""
        page = pages.get_template("docs.html").render(document=document_of(request), codes=all_codes())
        return Response(page.encode(), media_type="text/html; charset=utf-8", headers=PAGE_HEADERS)

    @get("/docs/docs.css", sync_to_thread=False)
    def get_docs_style() -> Response[bytes]:
        """Give the page its looks."""
        style = files("tollhouse.api").joinpath("templates/docs.css").read_bytes()
        return Response(style, media_type="text/css; charset=utf-8", headers={"Cache-Control": "max-age=300"})

    return [get_document, get_docs, get_docs_style]
