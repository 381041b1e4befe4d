"""The portal's cookies, and its forms with their protection against forgery.

The token of a form is derived from a cookie that no other site can read or set. So it needs no row, and a form posted
by another site cannot contain it.
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
#: Cookie of a browser that is not signed in, for the sign-in form.
VISITOR = "tollhouse_visitor"
#: Cookie of a browser that has signed in before; it names the account.
KNOWN = "tollhouse_known"
PATH = "/portal"
VISITOR_TIMEOUT_SECONDS = 3_600
KNOWN_TIMEOUT_SECONDS = 180 * 86_400

MAX_FIELDS = 16
MAX_BODY_BYTES = 16 * 1024
PASSWORD_FIELDS = frozenset({"password"})
#: Pages to which a browser may be redirected after it signed in.
PORTAL_PAGE = re.compile(r"/portal/(payments|keys|sites|sign-ins)(/[0-9]{1,19})?(\?[A-Za-z0-9_.~%&=+@-]{0,512})?")
TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class StaleForm(Forbidden):
    """The form came from another browser or is too old; nothing was done."""


def make_cookie(name: str, value: str, *, is_secure: bool, seconds: int | None = None) -> str:
    """Return a cookie that scripts cannot read and that browsers do not send with forms of other sites."""
    return build_cookie(name, value, path=PATH, is_secure=is_secure, max_age_seconds=seconds)


def get_visitor_token(request: Request) -> str:
    """Return the browser's token for the sign-in form, or a new one."""
    held = request.cookies.get(VISITOR, "")
    return held if TOKEN.fullmatch(held) else secrets.token_urlsafe(32)


def build_form_token(cookie: str) -> str:
    """Return the form token that belongs to a cookie."""
    return hashlib.sha256(f"tollhouse form|{cookie}".encode()).hexdigest()


def check_form_token(cookie: str | None, form: dict[str, str]) -> None:
    """Check that a form came from one of our pages. Raises StaleForm."""
    given = form.get("form_token", "")
    if not cookie or not hmac.compare_digest(build_form_token(cookie).encode(), given.encode("utf-8", "replace")):
        raise StaleForm


async def read_form(request: Request) -> dict[str, str]:
    """Read a posted form. A password may contain a card number, because it is only compared, never stored or shown."""
    return read_page_form(
        await request.read_body(limit_bytes=MAX_BODY_BYTES), allowed=PASSWORD_FIELDS, max_fields=MAX_FIELDS
    )


def choose_next_page(path: str) -> str:
    """Return the page to show after signing in: always a page of the portal."""
    return path if PORTAL_PAGE.fullmatch(path) else f"{PATH}/payments"
