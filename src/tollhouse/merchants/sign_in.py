"""Signing in to the portal: limits that a stranger cannot turn against the owner, and a note of each try.

Wrong passwords have budgets: one for each source of tries, and one for each account, after which it is locked to
strangers for 30 minutes (PCI DSS 4.0.1, 8.3.4). A browser that signed in to an account before has a cookie that says
so, and a budget of its own there, so that the tries of others, also of the same address, do not keep its owner out
(device cookies, OWASP Authentication Cheat Sheet). Whether an address is known cannot be told from the answers, nor
from the time that they take.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import structlog

from tollhouse.kernel.addresses import group_address
from tollhouse.kernel.errors import NotAuthenticated, RateLimited
from tollhouse.merchants.passwords import WrongPassword
from tollhouse.merchants.people import IDLE_FOR, digest_token
from tollhouse.merchants.store import queries
from tollhouse.storage.sweep import Sweep

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from tollhouse.merchants.passwords import PasswordGate
    from tollhouse.storage.database import Database

#: Wrong passwords of strangers to one account, and of one browser that is known to it.
MAX_TRIES_BY_ACCOUNT = 10
#: Wrong passwords from one source, for whatever accounts.
MAX_TRIES_BY_SOURCE = 100
#: How long after the last of them there is a new budget.
LOCKED_FOR = timedelta(minutes=30)
#: How long the tries of a user are shown.
NOTES_KEPT_FOR = timedelta(days=90)

MAX_EMAIL_LENGTH = 254
MAX_ADDRESS_LENGTH = 64
BROWSER = re.compile(r"([A-Za-z0-9_-]{22})\.([0-9a-f]{64})")

log = structlog.get_logger()


class SignInRefused(NotAuthenticated):
    """E-mail and password do not belong together, or there were too many tries."""


@dataclass(frozen=True, slots=True)
class Try:
    """A try to sign in: what was typed, and where it comes from. `browser` is the cookie of a known browser."""

    email: str
    password: str
    address: str
    browser: str = ""

    @property
    def account(self) -> str:
        """The address of the account, as it is stored."""
        return self.email.strip().lower()[: MAX_EMAIL_LENGTH + 1]


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What the browser gets: the secret of its session, and the cookie by which it is known from now on."""

    session: str
    browser: str


async def sign_in(database: Database, gate: PasswordGate, key: bytes, wanted: Try) -> SignedIn:
    """Open a session. `key` signs the cookies of known browsers.

    Raises SignInRefused, RateLimited for a source of too many wrong passwords, and QueueFull. A try is counted before
    the password is looked at: of any number of tries at once, ten are made.
    """
    known = read_browser(key, wanted)
    source = group_address(wanted.address)
    subject = _subject("browser", known) if known else _subject("account", wanted.account)
    user = await _take_try(database, wanted, subject, None if known else _subject("source", source))
    password_hash = user["password_hash"] if user else None
    try:
        await gate.verify(password_hash, wanted.password, queue=f"known {known}" if known else source)
    except WrongPassword:
        await _note_refusal(database, wanted, user)
        raise SignInRefused from None
    if user is None:
        raise SignInRefused
    return await _open_session(database, key, wanted, user, subject=subject, source=None if known else source)


def read_browser(key: bytes, wanted: Try) -> str | None:
    """Return the name of a browser that signed in to this account before, or None if its cookie does not say so."""
    match = BROWSER.fullmatch(wanted.browser)
    if match is None or not hmac.compare_digest(match[2], _sign(key, wanted.account, match[1])):
        return None
    return match[1]


def name_browser(key: bytes, wanted: Try) -> str:
    """Return the cookie by which a browser is known to an account: the same as before if it was known."""
    name = read_browser(key, wanted) or secrets.token_urlsafe(16)
    return f"{name}.{_sign(key, wanted.account, name)}"


def _sign(key: bytes, account: str, name: str) -> str:
    return hmac.new(key, f"{name}|{account}".encode(), hashlib.sha256).hexdigest()


def _subject(kind: str, name: str) -> bytes:
    return hashlib.sha256(f"{kind}|{name}".encode()).digest()


async def _take_try(database: Database, wanted: Try, subject: bytes, source: bytes | None) -> Mapping[str, Any] | None:
    """Count a try, and return the user if there is one; nobody, if the budget of the account is used up."""
    async with database.acquire() as connection:
        if source is not None:
            taken = await queries.take_sign_in_budget(
                connection, subject=source, allowed=MAX_TRIES_BY_SOURCE, window=LOCKED_FOR
            )
            if not taken["is_within"]:
                log.warning("sign_in.source_limited", address=wanted.address)
                raise RateLimited(taken["seconds_left"])
        taken = await queries.take_sign_in_budget(
            connection, subject=subject, allowed=MAX_TRIES_BY_ACCOUNT, window=LOCKED_FOR
        )
        user: Mapping[str, Any] | None = await queries.select_user_by_email(connection, email=wanted.account)
    if not taken["is_within"]:
        log.warning("sign_in.account_limited", address=wanted.address, user_id=user and user["user_id"])
        return None
    return user


async def _note_refusal(database: Database, wanted: Try, user: Mapping[str, Any] | None) -> None:
    """Note a wrong password. Of an account that does not exist nothing is kept: what was typed may be anything."""
    if user is None:
        log.info("sign_in.refused", address=wanted.address)
        return
    log.info("sign_in.refused", address=wanted.address, merchant_id=user["merchant_id"], user_id=user["user_id"])
    async with database.acquire() as connection:
        await queries.insert_sign_in(connection, **_note(wanted, user), is_accepted=False)


async def _open_session(
    database: Database, key: bytes, wanted: Try, user: Mapping[str, Any], *, subject: bytes, source: str | None
) -> SignedIn:
    token = secrets.token_urlsafe(32)
    whose = {"merchant_id": user["merchant_id"], "user_id": user["user_id"]}
    async with database.transaction() as connection:
        await queries.delete_sign_in_budget(connection, subject=subject)
        if source is not None:
            await queries.give_back_sign_in_budget(connection, subject=_subject("source", source))
        await queries.insert_session(connection, **whose, digest=digest_token(token))
        await queries.insert_sign_in(connection, **_note(wanted, user), is_accepted=True)
    log.info("sign_in.accepted", address=wanted.address, **whose)
    return SignedIn(token, name_browser(key, wanted))


def _note(wanted: Try, user: Mapping[str, Any]) -> dict[str, Any]:
    address = wanted.address[:MAX_ADDRESS_LENGTH]
    return {"merchant_id": user["merchant_id"], "user_id": user["user_id"], "address": address}


#: Sessions, budgets and tries whose time has passed, whoever signs in.
SWEEPS = (
    Sweep(
        "portal_session",
        partial(queries.delete_ended_sessions, idle_for=IDLE_FOR),
        partial(queries.select_sessions_lag, idle_for=IDLE_FOR),
    ),
    Sweep("sign_in_budget", queries.delete_ended_sign_in_budgets, queries.select_sign_in_budgets_lag),
    Sweep(
        "sign_in",
        partial(queries.delete_old_sign_ins, kept=NOTES_KEPT_FOR),
        partial(queries.select_sign_ins_lag, kept=NOTES_KEPT_FOR),
    ),
)
