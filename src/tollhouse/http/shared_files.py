"""Static files that pages of several packages share: a style sheet and the logo, under `/static/`."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from tollhouse.http.requests import Request
from tollhouse.http.responses import CSS, Response, build_file_response
from tollhouse.http.routes import Route
from tollhouse.kernel.errors import NotFound

TYPES = {"tollhouse.css": CSS, "tollhouse.svg": "image/svg+xml"}


def list_shared_routes() -> list[Route]:
    """Return the routes."""
    return [Route("GET", "/static/{name}", get_shared)]


async def get_shared(request: Request) -> Response:
    """Return a shared file. Browsers revalidate it at each use."""
    name = request.path_parameters["name"]
    if name not in TYPES:
        raise NotFound
    return build_file_response(request, _read(name), TYPES[name])


@cache
def _read(name: str) -> bytes:
    return files("tollhouse").joinpath("static", name).read_bytes()
