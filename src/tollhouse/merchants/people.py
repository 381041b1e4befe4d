"""People who sign in to the portal: their passwords, the lock after too many tries, and their sessions.

Limits are those of PCI DSS 4.0.1: locked for 30 minutes after 10 tries (8.3.4), signed out after 15 minutes without a
request (8.2.8). Whoever asks learns nothing about whether an address is known: the answer and the time it takes are the
same.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from tollhouse.kernel.errors import NotAuthenticated
from tollhouse.merchants.passwords import WrongPassword, hash_password, verify_password
from tollhouse.merchants.store import queries

if TYPE_CHECKING:
    from tollhouse.merchants.passwords import PasswordGate
    from tollhouse.storage.database import Database, PlainConnection

MOST_TRIES = 10
LOCKED_FOR = timedelta(minutes=30)
IDLE_FOR = timedelta(minutes=15)
#: Nobody works longer than this without signing in again.
LONGEST_SESSION = timedelta(hours=12)
#: Sessions that are over and are swept at a sign-in.
SWEPT_AT_ONCE = 100

LONGEST_EMAIL = 254
LONGEST_TOKEN = 64


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is signed in, and the merchant for whom."""

    merchant_id: int
    user_id: int
    email: str
    merchant_name: str


class SignInRefused(NotAuthenticated):
    """E-mail and password do not belong together, or there were too many tries."""


async def ensure_user(connection: PlainConnection, *, merchant_id: int, email: str, password: str) -> None:
    """Create a user, or give an existing one of this merchant that password if it has another."""
    known = await queries.select_password(connection, merchant_id=merchant_id, email=email.lower())
    if known is not None:
        try:
            verify_password(known, password)
        except WrongPassword:
            pass
        else:
            return
    await queries.upsert_user(
        connection, merchant_id=merchant_id, email=email.lower(), password_hash=hash_password(password)
    )


async def sign_in(database: Database, gate: PasswordGate, *, email: str, password: str) -> str:
    """Open a session and return the secret that its cookie holds. Raises SignInRefused and QueueFull.

    A try is counted before the password is looked at: of any number of tries at once, ten are made.
    """
    async with database.acquire() as connection:
        user = await queries.update_tries(
            connection,
            email=email.strip().lower()[: LONGEST_EMAIL + 1],
            most_tries=MOST_TRIES,
            locked_for=LOCKED_FOR,
        )
    try:
        await gate.verify(user and user["password_hash"], password)
    except WrongPassword:
        raise SignInRefused from None
    token = secrets.token_urlsafe(32)
    async with database.transaction() as connection:
        await queries.delete_over_sessions(connection, idle_for=IDLE_FOR, longest=LONGEST_SESSION, most=SWEPT_AT_ONCE)
        await queries.update_tries_forgiven(connection, merchant_id=user["merchant_id"], user_id=user["user_id"])
        await queries.insert_session(
            connection, merchant_id=user["merchant_id"], user_id=user["user_id"], digest=digest_token(token)
        )
    return token


async def access_person(database: Database, token: str | None) -> Person:
    """Return who has this session, and keep it alive. Raises NotAuthenticated when there is none or it is over."""
    if not token or len(token) > LONGEST_TOKEN:
        raise NotAuthenticated("You are not signed in.")
    async with database.acquire() as connection:
        row = await queries.update_session_seen(
            connection, digest=digest_token(token), idle_for=IDLE_FOR, longest=LONGEST_SESSION
        )
    if row is None:
        raise NotAuthenticated("You were signed out after 15 minutes without a request.")
    return Person(**row)


async def sign_out(database: Database, token: str) -> None:
    """End a session; one that is over is over."""
    async with database.acquire() as connection:
        await queries.delete_session(connection, digest=digest_token(token))


def digest_token(token: str) -> bytes:
    """Hash what a cookie holds, for storage and look-up. It is random enough for a plain hash."""
    return hashlib.sha256(token.encode()).digest()
