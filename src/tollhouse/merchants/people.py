"""Portal users and their sessions.

A session expires after 15 minutes without a request (PCI DSS 4.0.1, 8.2.8).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from tollhouse.kernel.errors import NotAuthenticated
from tollhouse.merchants.passwords import WrongPassword, hash_password, verify_password
from tollhouse.merchants.store import queries
from tollhouse.storage.database import Database, PlainConnection

IDLE_FOR = timedelta(minutes=15)
#: A session ends after this time, even if it is used.
MAX_SESSION_LENGTH = timedelta(hours=12)

MAX_TOKEN_LENGTH = 64


@dataclass(frozen=True, slots=True)
class PortalUser:
    """A signed-in user of a merchant."""

    merchant_id: int
    user_id: int
    email: str
    merchant_name: str


async def ensure_user(connection: PlainConnection, *, merchant_id: int, email: str, password: str) -> None:
    """Create a user, or set the password of this merchant's user if it differs."""
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


async def authenticate_user(database: Database, token: str | None) -> PortalUser:
    """Return the user of a session, and renew the session. Raises NotAuthenticated if it is missing or expired."""
    if not token or len(token) > MAX_TOKEN_LENGTH:
        raise NotAuthenticated("You are not signed in. Sign in first.")
    async with database.acquire() as connection:
        row = await queries.update_session_seen(
            connection, digest=digest_token(token), idle_for=IDLE_FOR, longest=MAX_SESSION_LENGTH
        )
    if row is None:
        raise NotAuthenticated("Your session expired after 15 minutes of inactivity. Sign in again.")
    return PortalUser(**row)


async def sign_out(database: Database, token: str) -> None:
    """End a session. An ended session is ignored."""
    async with database.acquire() as connection:
        await queries.delete_session(connection, digest=digest_token(token))


def digest_token(token: str) -> bytes:
    """Hash the value of a cookie for storage and lookup. The value is random enough for a plain hash."""
    return hashlib.sha256(token.encode()).digest()
