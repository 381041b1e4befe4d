"""`/openapi.json`, and `/docs` for readers, rendered here without a script and without requests to other servers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from tollhouse.api.document.description import API
from tollhouse.api.document.reference import build_reference
from tollhouse.http.openapi import RETRYING, build_document
from tollhouse.http.requests import Request
from tollhouse.http.responses import CSS, Response, build_file_response, build_html_response
from tollhouse.http.routes import Route
from tollhouse.kernel.codes import list_codes
from tollhouse.wire.render import html_of_json, html_of_prose, render_json

PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

pages = Environment(
    loader=PackageLoader("tollhouse.api.document"),
    autoescape=select_autoescape(),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
# Both escape their input, so templates mark their results as safe.
pages.filters["json"] = html_of_json
pages.filters["prose"] = html_of_prose


class DocumentPages:
    """The document of an API and its page, each built at its first request."""

    def __init__(self, routes: Sequence[Route], base_url: str, *, is_live: bool) -> None:
        self._routes = routes
        self._base_url = base_url
        self._is_live = is_live

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("GET", "/openapi.json", self.get_document),
            Route("GET", "/docs", self.get_docs),
            Route("GET", "/docs/docs.css", self.get_docs_style),
        ]

    async def get_document(self, _: Request) -> Response:
        """Return the OpenAPI document."""
        return Response(render_json(self.document))

    async def get_docs(self, _: Request) -> Response:
        """Return the document as a page."""
        return build_html_response(self._page, headers=PAGE_HEADERS)

    async def get_docs_style(self, request: Request) -> Response:
        """Return the style sheet of the page."""
        return build_file_response(request, files(__package__).joinpath("templates/docs.css").read_bytes(), CSS)

    @cached_property
    def document(self) -> dict[str, Any]:
        """The OpenAPI document."""
        return build_document(self._routes, API, base_url=self._base_url)

    @cached_property
    def _page(self) -> str:
        template = pages.get_template("docs.html")
        reference = build_reference(self.document)
        return template.render(reference=reference, codes=list_codes(), retrying=RETRYING, is_live=self._is_live)
