"""The start page of stage, the demo's thank-you page, and their static files."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from tollhouse.http.problems import NO_PATH
from tollhouse.http.requests import Request
from tollhouse.http.responses import CSS, JAVASCRIPT, Response
from tollhouse.http.routes import Route
from tollhouse.kernel.errors import NotFound
from tollhouse.stage.pages import show

#: A few of the published cards; docs/reference/test-cards.md has all.
CARDS_TO_TRY = (
    ("4024 0071 7936 6348", "Approves."),
    ("4000 0000 5051 0009", "Declines: insufficient funds, code 5051."),
    ("4000 0000 0000 2503", "Requires 3-D Secure; the code on the bank's page is 123456."),
    ("4000 0000 3001 0005", "3-D Secure without a question: approves."),
    ("4000 0000 2000 0008", "The amount decides: 2051.00 declines with 51, and so on."),
    ("4000 0000 9001 0002", "Approves, but the response is lost: pending, until the gateway has queried the acquirer."),
)
TYPES = {"inbox.js": JAVASCRIPT, "stage.css": CSS}
MAX_VALUE_LENGTH = 64

#: By `is_approved`.
RESULTS = {
    "1": ("good", "Thank you", "The payment is approved."),
    "0": ("bad", "Not approved", "The payment failed. Nothing was charged."),
}
UNKNOWN_RESULT = ("", "Not known yet", "The outcome is not known yet. The callback will have it.")
#: Query parameters of a return, in their order.
RETURN_PARAMETERS = ("order_id", "ustas", "consumer_id", "sh", "is_approved", "cb_code", "cb_transaction_id")
NO_RESULT = ("", "Thank-you page", "Cardholders return to this page after 3-D Secure.")


class StagePages:
    """The page at `/`, the page to which the demo's cardholders return, and their files."""

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("GET", "/", self.show_landing),
            Route("GET", "/stage/thanks", self.show_thanks),
            Route("GET", "/stage/{name}", self.get_file),
        ]

    async def show_landing(self, _: Request) -> Response:
        """Show the start page."""
        return show("landing.html", cards=CARDS_TO_TRY)

    async def show_thanks(self, request: Request) -> Response:
        """Show the page to which cardholders of the demo shop return."""
        given = {name: request.query_value(name) for name in RETURN_PARAMETERS}
        is_approved = given["is_approved"]
        status_class, heading, text = RESULTS.get(is_approved, NO_RESULT)
        if is_approved == "0" and not given["cb_code"]:
            status_class, heading, text = UNKNOWN_RESULT
        facts = [(name, value[:MAX_VALUE_LENGTH]) for name, value in given.items() if value]
        return show("thanks.html", status_class=status_class, heading=heading, text=text, facts=facts)

    async def get_file(self, request: Request) -> Response:
        """Return the script or the style sheet."""
        name = request.path_parameters["name"]
        if name not in TYPES:
            raise NotFound(NO_PATH)
        headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
        return Response(_read(name), 200, TYPES[name], headers)


@cache
def _read(name: str) -> bytes:
    return files("tollhouse.stage").joinpath("static", name).read_bytes()
