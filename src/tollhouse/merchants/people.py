"""People who sign in to the portal, and their sessions.

They are signed out after 15 minutes without a request (PCI DSS 4.0.1, 8.2.8).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from tollhouse.kernel.errors import NotAuthenticated
from tollhouse.merchants.passwords import WrongPassword, hash_password, verify_password
from tollhouse.merchants.store import queries

if TYPE_CHECKING:
    from tollhouse.storage.database import Database, PlainConnection

IDLE_FOR = timedelta(minutes=15)
#: Nobody works longer than this without signing in again.
MAX_SESSION_LENGTH = timedelta(hours=12)

MAX_TOKEN_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is signed in, and the merchant for whom."""

    merchant_id: int
    user_id: int
    email: str
    merchant_name: str


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


async def access_person(database: Database, token: str | None) -> Person:
    """Return who has this session, and keep it alive. Raises NotAuthenticated when there is none or it is over."""
    if not token or len(token) > MAX_TOKEN_LENGTH:
        raise NotAuthenticated("You are not signed in.")
    async with database.acquire() as connection:
        row = await queries.update_session_seen(
            connection, digest=digest_token(token), idle_for=IDLE_FOR, longest=MAX_SESSION_LENGTH
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
