"""`GET /codes`: the table of payment codes, which needs no API key."""

from __future__ import annotations

from tollhouse.http.requests import Request
from tollhouse.http.responses import Response, build_tag
from tollhouse.http.routes import Calls, call
from tollhouse.kernel.codes import CodeRow, get_edition, list_rows
from tollhouse.wire.render import render
from tollhouse.wire.tables import CodeAnswer, CodeListAnswer

CACHE_TIMEOUT_SECONDS = 3_600
ANY_BRAND = "any"


class CodeCalls(Calls):
    """The table of payment codes, rendered once, because it changes only with the program."""

    def __init__(self) -> None:
        self._content = render(build_codes())
        self._headers = {"ETag": build_tag(self._content), "Cache-Control": f"public, max-age={CACHE_TIMEOUT_SECONDS}"}

    @call(
        "GET /codes",
        "List payment codes",
        answer=CodeListAnswer,
        needs_key=False,
        response_headers=("ETag", "Cache-Control"),
    )
    async def list_codes(self, request: Request) -> Response:
        """Return every payment code with its text, decline category and retry advice. No key is needed.

        The response has an `ETag` and may be cached for an hour.
        """
        if request.headers.get("if-none-match") == self._headers["ETag"]:
            return Response(b"", 304, headers=self._headers)
        return Response(self._content, headers=self._headers)


def build_codes() -> CodeListAnswer:
    """Build the response."""
    table = get_edition()
    return CodeListAnswer(
        edition=table.name, date=table.date, source=table.source, data=[build_code(row) for row in list_rows()]
    )


def build_code(row: CodeRow) -> CodeAnswer:
    """Build the model of the response."""
    return CodeAnswer(
        code=row.code.code,
        brand=row.brand or ANY_BRAND,
        responseCode=row.response_code,
        text=row.code.text,
        category=row.code.category,
        retry=row.code.retry,
        advice=row.code.advice,
    )
