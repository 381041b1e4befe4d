"""`/openapi.json`, and `/docs` to read it: rendered here, without a script and without a request to anybody else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from tollhouse.api.access import AnyRequest
from tollhouse.api.openapi import RETRYING, build_document
from tollhouse.api.reference import build_reference
from tollhouse.api.static import serve
from tollhouse.kernel.codes import all_codes
from tollhouse.wire.pretty import html_of_json, html_of_prose
from tollhouse.wire.render import render_json

if TYPE_CHECKING:
    from litestar.routes import BaseRoute

PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

pages = Environment(
    loader=PackageLoader("tollhouse.api"),
    autoescape=select_autoescape(),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
# Both escape what they are given, so templates mark what they return as safe.
pages.filters["json"] = html_of_json
pages.filters["prose"] = html_of_prose


def document_handlers(
    routes: Callable[[], Sequence[BaseRoute]], base_url: str, *, is_live: bool
) -> list[HTTPRouteHandler]:
    """Return the handlers. Document and page are made once, when one is asked for, from all routes there then are."""
    made: dict[str, Any] = {}

    def document() -> dict[str, Any]:
        if "document" not in made:
            made["document"] = build_document(routes(), base_url=base_url)
        document: dict[str, Any] = made["document"]
        return document

    def page() -> bytes:
        if "page" not in made:
            reference = build_reference(document())
            template = pages.get_template("docs.html")
            text = template.render(reference=reference, codes=all_codes(), retrying=RETRYING, is_live=is_live)
            made["page"] = text.encode()
        page: bytes = made["page"]
        return page

    @get("/openapi.json", sync_to_thread=False)
    def get_document() -> Response[bytes]:
        """Return the OpenAPI document."""
        return Response(render_json(document()), media_type="application/json")

    @get("/docs", sync_to_thread=False)
    def get_docs() -> Response[bytes]:
        """Show the document as a page."""
        return Response(page(), media_type="text/html", headers=PAGE_HEADERS)

    @get("/docs/docs.css", sync_to_thread=False)
    def get_docs_style(request: AnyRequest) -> Response[bytes]:
        """Give the page its looks."""
        style = files("tollhouse.api").joinpath("templates/docs.css").read_bytes()
        return serve(request, style, "text/css")

    return [get_document, get_docs, get_docs_style]
