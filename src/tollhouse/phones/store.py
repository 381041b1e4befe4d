"""Database access for codes and message counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from tollhouse.phones.model import CODE_LIFE, TRIES
from tollhouse.storage.database import PlainConnection
from tollhouse.storage.queries import load_queries
from tollhouse.storage.sweep import sweep_expired

queries = load_queries("tollhouse.phones")


@dataclass(frozen=True, slots=True)
class Usage:
    """The number of messages in the current window, including this one, and the time left of the window."""

    used: int
    left_over: timedelta


@dataclass(frozen=True, slots=True)
class StoredCode:
    """A code that may still be attempted."""

    code_digest: bytes
    tries_left: int


async def count_message(connection: PlainConnection, *, merchant_id: int, subject: bytes, span: timedelta) -> Usage:
    """Count a message. A concurrent count of the same subject waits for this database transaction."""
    row = await queries.count_message(connection, merchant_id=merchant_id, subject=subject, span=span)
    return Usage(row["used"], row["left_over"])


async def insert_code(
    connection: PlainConnection, *, merchant_id: int, phone_digest: bytes, code_digest: bytes
) -> datetime:
    """Store a code in place of the previous one, and return its expiry."""
    expires_at: datetime = await queries.insert_code(
        connection,
        merchant_id=merchant_id,
        phone_digest=phone_digest,
        code_digest=code_digest,
        tries=TRIES,
        life=CODE_LIFE,
    )
    return expires_at


async def lock_code(connection: PlainConnection, *, merchant_id: int, phone_digest: bytes) -> StoredCode | None:
    """Lock the usable code of a phone and return it, or None."""
    row = await queries.lock_code(connection, merchant_id=merchant_id, phone_digest=phone_digest)
    return StoredCode(row["code_digest"], row["tries_left"]) if row else None


async def count_attempt(connection: PlainConnection, *, merchant_id: int, phone_digest: bytes) -> None:
    """Count an attempt at a code."""
    await queries.count_attempt(connection, merchant_id=merchant_id, phone_digest=phone_digest)


async def delete_code(
    connection: PlainConnection, *, merchant_id: int, phone_digest: bytes, code_digest: bytes
) -> None:
    """Delete a code, unless another one has replaced it."""
    await queries.delete_code(connection, merchant_id=merchant_id, phone_digest=phone_digest, code_digest=code_digest)


#: Expired codes, by real time, and ended windows.
SWEEPS = (sweep_expired("phone_code", "expires_at"), sweep_expired("phone_quota", "ends_at"))
