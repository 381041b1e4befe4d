"""Cookies and forms: what a browser holds, and how a form shows that it came from a page of ours.

The token of a form is made from a cookie that no other site can read or set; so it needs no row, and a form that is
posted from elsewhere cannot have it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

from tollhouse.http.requests import Request
from tollhouse.http.responses import build_cookie
from tollhouse.http.screen import read_page_form
from tollhouse.kernel.errors import Forbidden

SESSION = "tollhouse_portal"
#: Held by a browser that is not signed in, for the form with which it does.
VISITOR = "tollhouse_visitor"
#: Held by a browser that signed in before, and names the account to which it is known.
KNOWN = "tollhouse_known"
PATH = "/portal"
VISITOR_SECONDS = 3_600
KNOWN_SECONDS = 180 * 86_400

MAX_FIELDS = 16
MAX_BODY_BYTES = 16 * 1024
PASSWORD_FIELDS = frozenset({"password"})
#: Where a browser may be sent after it signed in: pages of the portal.
OWN_PAGE = re.compile(r"/portal/(payments|keys|sites|sign-ins)(/[0-9]{1,19})?(\?[A-Za-z0-9_.~%&=+@-]{0,512})?")
TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class StaleForm(Forbidden):
    """The form was not of this browser or too old; nothing was done."""


def make_cookie(name: str, value: str, *, is_secure: bool, seconds: int | None = None) -> str:
    """Return a cookie that no script reads and that comes with no other site's forms."""
    return build_cookie(name, value, path=PATH, is_secure=is_secure, max_age_seconds=seconds)


def take_visitor(request: Request) -> str:
    """Return what the browser holds for the form to sign in, or something new."""
    held = request.cookies.get(VISITOR, "")
    return held if TOKEN.fullmatch(held) else secrets.token_urlsafe(32)


def form_token(cookie: str) -> str:
    """Return the token of a form of the browser with this cookie."""
    return hashlib.sha256(f"tollhouse form|{cookie}".encode()).hexdigest()


def check_form_token(cookie: str | None, form: dict[str, str]) -> None:
    """Check that a form came from a page of ours. Raises StaleForm."""
    given = form.get("form_token", "")
    if not cookie or not hmac.compare_digest(form_token(cookie).encode(), given.encode("utf-8", "replace")):
        raise StaleForm


async def read_form(request: Request) -> dict[str, str]:
    """Read a form as browsers post it. A password is compared and neither kept nor shown, whatever stands in it."""
    return read_page_form(
        await request.read_body(limit_bytes=MAX_BODY_BYTES), allowed=PASSWORD_FIELDS, max_fields=MAX_FIELDS
    )


def choose_next(path: str) -> str:
    """Return where to go after signing in: a page of the portal, never another place."""
    return path if OWN_PAGE.fullmatch(path) else f"{PATH}/payments"
