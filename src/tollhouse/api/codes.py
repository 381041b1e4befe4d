"""`GET /codes`: the table of payment codes, the same for everybody, and so without a key."""

from __future__ import annotations

import hashlib

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from tollhouse.api.access import AnyRequest
from tollhouse.api.openapi import describe
from tollhouse.kernel.codes import Row, all_rows, edition
from tollhouse.wire.codes import CodeAnswer, CodeListAnswer
from tollhouse.wire.render import render

CACHE_SECONDS = 3_600
ANY_BRAND = "any"


def code_handlers() -> list[HTTPRouteHandler]:
    """Return the handlers. The table is written once; it changes with the program only."""
    content = render(build_codes())
    headers = {
        "ETag": f'"{hashlib.sha256(content).hexdigest()[:16]}"',
        "Cache-Control": f"public, max-age={CACHE_SECONDS}",
    }

    @get("/codes", opt=describe("List payment codes", answer=CodeListAnswer, needs_key=False), sync_to_thread=False)
    def list_codes(request: AnyRequest) -> Response[bytes]:
        """Return every payment code with its text, decline category and retry advice. No key is needed.

        The answer has an `ETag`, and one hour may pass before it is asked for again.
        """
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(b"", status_code=304, media_type="application/json", headers=headers)
        return Response(content, media_type="application/json", headers=headers)

    return [list_codes]


def build_codes() -> CodeListAnswer:
    """Put the answer together."""
    table = edition()
    return CodeListAnswer(
        edition=table.name, date=table.date, source=table.source, data=[build_code(row) for row in all_rows()]
    )


def build_code(row: Row) -> CodeAnswer:
    """Say it in the words of the wire."""
    return CodeAnswer(
        code=row.code.code,
        brand=row.brand or ANY_BRAND,
        responseCode=row.response_code,
        text=row.code.text,
        category=row.code.category,
        retry=row.code.retry,
        advice=row.code.advice,
    )
