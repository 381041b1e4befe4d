"""Sign in to the portal, with limits that attackers cannot use to lock an owner out, and a record of each attempt.

Wrong passwords have budgets: one for each source, and one for each account, after which unknown browsers are locked out
for 30 minutes (PCI DSS 4.0.1, 8.3.4). A browser that has signed in to an account has a device cookie and a budget of
its own, so that attempts by others, also from the same address, do not lock the owner out (OWASP Authentication Cheat
Sheet). Neither responses nor their timing reveal whether an address is known.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog

from tollhouse.kernel.addresses import group_address
from tollhouse.kernel.errors import NotAuthenticated, RateLimited
from tollhouse.merchants.passwords import PasswordVerifier, WrongPassword
from tollhouse.merchants.people import IDLE_FOR, digest_token
from tollhouse.merchants.store import queries
from tollhouse.storage.database import Database
from tollhouse.storage.sweep import sweep_expired

#: Wrong passwords from unknown browsers for one account, or from one known browser.
MAX_ATTEMPTS_BY_ACCOUNT = 10
#: Wrong passwords from one source, for any accounts.
MAX_ATTEMPTS_BY_SOURCE = 100
#: Time after the last wrong password until the budget is reset.
LOCKED_FOR = timedelta(minutes=30)
#: Retention of a user's sign-in attempts.
NOTES_KEPT_FOR = timedelta(days=90)

MAX_EMAIL_LENGTH = 254
MAX_ADDRESS_LENGTH = 64
BROWSER = re.compile(r"([A-Za-z0-9_-]{22})\.([0-9a-f]{64})")

log = structlog.get_logger()


class SignInRejected(NotAuthenticated):
    """Email and password do not match, or there were too many attempts."""


@dataclass(frozen=True, slots=True)
class SignInAttempt:
    """A sign-in attempt: the typed values and their source. `browser` is the cookie of a known browser."""

    email: str
    password: str
    address: str
    browser: str = ""

    @property
    def account(self) -> str:
        """The account's email address in its stored form."""
        return self.email.strip().lower()[: MAX_EMAIL_LENGTH + 1]


@dataclass(frozen=True, slots=True)
class NewSession:
    """A new session: its secret, and the cookie by which the browser is known from now on."""

    session: str
    browser: str


async def sign_in(database: Database, verifier: PasswordVerifier, key: bytes, attempt: SignInAttempt) -> NewSession:
    """Open a session. `key` signs the cookies of known browsers.

    Raises SignInRejected, RateLimited for a source of too many wrong passwords, and QueueFull. An attempt is counted
    before the password is checked, so of any number of concurrent attempts, ten are checked.
    """
    known = read_browser(key, attempt)
    source = group_address(attempt.address)
    subject = _subject("browser", known) if known else _subject("account", attempt.account)
    user = await _count_attempt(database, attempt, subject, None if known else _subject("source", source))
    password_hash = user["password_hash"] if user else None
    try:
        await verifier.verify(password_hash, attempt.password, queue=f"known {known}" if known else source)
    except WrongPassword:
        await _record_failed_sign_in(database, attempt, user)
        raise SignInRejected from None
    if user is None:
        raise SignInRejected
    return await _open_session(database, key, attempt, user, subject=subject, source=None if known else source)


def read_browser(key: bytes, attempt: SignInAttempt) -> str | None:
    """Return the name of a browser that has signed in to this account before, or None without proof by its cookie."""
    match = BROWSER.fullmatch(attempt.browser)
    if match is None or not hmac.compare_digest(match[2], _sign(key, attempt.account, match[1])):
        return None
    return match[1]


def name_browser(key: bytes, attempt: SignInAttempt) -> str:
    """Return the cookie by which a browser is known to an account, the same as before if it was known."""
    name = read_browser(key, attempt) or secrets.token_urlsafe(16)
    return f"{name}.{_sign(key, attempt.account, name)}"


def _sign(key: bytes, account: str, name: str) -> str:
    return hmac.new(key, f"{name}|{account}".encode(), hashlib.sha256).hexdigest()


def _subject(kind: str, name: str) -> bytes:
    return hashlib.sha256(f"{kind}|{name}".encode()).digest()


async def _count_attempt(
    database: Database, attempt: SignInAttempt, subject: bytes, source: bytes | None
) -> Mapping[str, Any] | None:
    """Count an attempt, and return the user if one exists. Return None if the budget of the account is used up."""
    async with database.acquire() as connection:
        if source is not None:
            taken = await queries.count_sign_in_attempt(
                connection, subject=source, allowed=MAX_ATTEMPTS_BY_SOURCE, window=LOCKED_FOR
            )
            if not taken["is_within"]:
                log.warning("sign_in.source_limited", address=attempt.address)
                raise RateLimited(taken["seconds_left"])
        taken = await queries.count_sign_in_attempt(
            connection, subject=subject, allowed=MAX_ATTEMPTS_BY_ACCOUNT, window=LOCKED_FOR
        )
        user: Mapping[str, Any] | None = await queries.select_user_by_email(connection, email=attempt.account)
    if not taken["is_within"]:
        log.warning("sign_in.account_limited", address=attempt.address, user_id=user and user["user_id"])
        return None
    return user


async def _record_failed_sign_in(database: Database, attempt: SignInAttempt, user: Mapping[str, Any] | None) -> None:
    """Record a wrong password. Record nothing for an unknown account, because the typed text may be anything."""
    if user is None:
        log.info("sign_in.rejected", address=attempt.address)
        return
    log.info("sign_in.rejected", address=attempt.address, merchant_id=user["merchant_id"], user_id=user["user_id"])
    async with database.acquire() as connection:
        await queries.insert_sign_in(connection, **_note(attempt, user), is_accepted=False)


async def _open_session(
    database: Database,
    key: bytes,
    attempt: SignInAttempt,
    user: Mapping[str, Any],
    *,
    subject: bytes,
    source: str | None,
) -> NewSession:
    token = secrets.token_urlsafe(32)
    whose = {"merchant_id": user["merchant_id"], "user_id": user["user_id"]}
    async with database.transaction() as connection:
        await queries.delete_sign_in_budget(connection, subject=subject)
        if source is not None:
            await queries.uncount_sign_in_attempt(connection, subject=_subject("source", source))
        await queries.insert_session(connection, **whose, digest=digest_token(token))
        await queries.insert_sign_in(connection, **_note(attempt, user), is_accepted=True)
    log.info("sign_in.accepted", address=attempt.address, **whose)
    return NewSession(token, name_browser(key, attempt))


def _note(attempt: SignInAttempt, user: Mapping[str, Any]) -> dict[str, Any]:
    address = attempt.address[:MAX_ADDRESS_LENGTH]
    return {"merchant_id": user["merchant_id"], "user_id": user["user_id"], "address": address}


#: Expired sessions, budgets and attempts of any user. A session past its maximum length is idle too.
SWEEPS = (
    sweep_expired("portal_session", "seen_at", kept=IDLE_FOR),
    sweep_expired("sign_in_budget", "ends_at"),
    sweep_expired("sign_in", "signed_in_at", kept=NOTES_KEPT_FOR),
)
