"""What a person meets in stage besides the inbox: the page at `/`, the demo's thank-you page, and their looks."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from litestar import Request, Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from tollhouse.stage.pages import show

if TYPE_CHECKING:
    from litestar.handlers import HTTPRouteHandler

#: A few of the published cards; docs/reference/test-cards.md has all.
CARDS_TO_TRY = (
    ("4024 0071 7936 6348", "Approves."),
    ("4000 0000 5051 0009", "Declines: insufficient funds, code 5051."),
    ("4000 0000 0000 2503", "Asks for 3-D Secure; on the bank's page the code is 123456."),
    ("4000 0000 3001 0005", "3-D Secure without a question: approves."),
    ("4000 0000 2000 0008", "The amount decides: 2051.00 declines with 51, and so on."),
    ("4000 0000 9001 0002", "Approves, but the bank's answer is lost: pending, until the gateway has asked again."),
)
TYPES = {"inbox.js": "text/javascript", "stage.css": "text/css"}
MAX_SHOWN_LENGTH = 64

#: By `is_approved`.
ENDS = {
    "1": ("good", "Thank you", "The payment is approved."),
    "0": ("bad", "Not approved", "The payment did not go through. Nothing was charged."),
}
NOT_KNOWN = ("", "Not known yet", "The outcome is still open. The callback will tell it.")
#: What a return says, in its order.
RETURNED = ("order_id", "ustas", "consumer_id", "sh", "is_approved", "cb_code", "cb_transaction_id")
OPEN_END = ("", "You are back", "This is where a cardholder lands after 3-D Secure.")


AnyRequest = Request[Any, Any, Any]


def visit_handlers() -> list[HTTPRouteHandler]:
    """Return the handlers."""

    @get("/", sync_to_thread=False)
    def show_landing() -> Response[str]:
        """Show where everything is."""
        return show("landing.html", cards=CARDS_TO_TRY)

    @get("/stage/thanks", sync_to_thread=False)
    def show_thanks(request: AnyRequest) -> Response[str]:
        """Stand in for the page of a shop to which the cardholder comes back."""
        given = request.query_params
        is_approved = given.get("is_approved", "")
        mood, heading, text = ENDS.get(is_approved, OPEN_END)
        if is_approved == "0" and not given.get("cb_code"):
            mood, heading, text = NOT_KNOWN
        facts = [(name, given[name][:MAX_SHOWN_LENGTH]) for name in RETURNED if given.get(name)]
        return show("thanks.html", mood=mood, heading=heading, text=text, facts=facts)

    @get("/stage/{name:str}", sync_to_thread=False)
    def get_file(name: FromPath[str]) -> Response[bytes]:
        """Serve the script or the stylesheet."""
        if name not in TYPES:
            raise NotFoundException
        headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
        return Response(_read(name), media_type=TYPES[name], headers=headers)

    return [show_landing, show_thanks, get_file]


@cache
def _read(name: str) -> bytes:
    return files("tollhouse.stage").joinpath("static", name).read_bytes()
