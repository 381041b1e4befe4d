"""Rows of authentications. Every change of state is conditional: the first one is right, and the others get None."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from tollhouse.storage.queries import load_queries
from tollhouse.threeds.lifecycle import origins_of
from tollhouse.threeds.model import CHALLENGE_CANCEL, Answer, Authentication, BrowserData, Result, State

if TYPE_CHECKING:
    from tollhouse.storage.database import PlainConnection

#: How long a decision may wait for its attempt to follow before the sweep sees to it.
GRACE_SECONDS = 30.0

queries = load_queries("tollhouse.threeds")


async def insert_authentications(connection: PlainConnection, authentications: Sequence[Authentication]) -> None:
    """Store authentications in the caller's transaction; a repeated batch finds its own and leaves them."""
    if authentications:
        rows = [(place, write_json(each)) for place, each in enumerate(authentications, 1)]
        await queries.insert_authentications(connection, authentications=rows)


async def select_by_page(connection: PlainConnection, page_digest: bytes) -> Authentication | None:
    """Return the authentication behind a page, or None."""
    return _read(await queries.select_by_page(connection, page_digest=page_digest))


async def select_by_return(connection: PlainConnection, return_digest: bytes) -> Authentication | None:
    """Return the authentication from which an ACS sends a browser back, or None."""
    return _read(await queries.select_by_return(connection, return_digest=return_digest))


async def select_by_trans_id(connection: PlainConnection, three_ds_server_trans_id: UUID) -> Authentication | None:
    """Return the authentication that an RReq or a 3DS Method names, or None."""
    row = await queries.select_by_trans_id(connection, three_ds_server_trans_id=three_ds_server_trans_id)
    return _read(row)


async def select_newest(connection: PlainConnection, *, merchant_id: int, transaction_id: int) -> Authentication | None:
    """Return the newest authentication of a transaction, or None."""
    row = await queries.select_newest(connection, merchant_id=merchant_id, transaction_id=transaction_id)
    return _read(row)


async def update_method_completed(connection: PlainConnection, three_ds_server_trans_id: UUID) -> None:
    """Note that the 3DS Method came back before the AReq left."""
    await queries.update_method_completed(connection, three_ds_server_trans_id=three_ds_server_trans_id)


async def update_requested(
    connection: PlainConnection, authentication: Authentication, browser: BrowserData
) -> Authentication | None:
    """Take the browser's data and the right to send the AReq; None when somebody else has it."""
    row = await queries.update_requested(
        connection,
        **_key(authentication),
        browser=msgspec.json.encode(browser).decode(),
        origins=origins_of(State.REQUESTED),
    )
    return _read(row)


async def update_answered(
    connection: PlainConnection, authentication: Authentication, answer: Answer, state: State
) -> Authentication | None:
    """Write down what the ARes said and where it leads; None when the authentication is no longer asked about."""
    row = await queries.update_answered(
        connection,
        **_key(authentication),
        state=state,
        acs_trans_id=answer.acs_trans_id,
        ds_trans_id=answer.ds_trans_id,
        acs_url=answer.acs_url,
        trans_status=answer.status,
        status_reason=answer.reason,
        eci=answer.eci,
        cavv=answer.cavv,
        grace_seconds=GRACE_SECONDS,
    )
    return _read(row)


async def update_result(
    connection: PlainConnection, authentication: Authentication, result: Result, state: State
) -> Authentication | None:
    """Write down what the RReq said and where it leads; None when the challenge was over."""
    row = await queries.update_result(
        connection,
        **_key(authentication),
        state=state,
        trans_status=result.status,
        status_reason=write_reason(result),
        eci=result.eci,
        cavv=result.cavv,
        grace_seconds=GRACE_SECONDS,
    )
    return _read(row)


def write_reason(result: Result) -> str | None:
    """Return the reason of a result, and how the challenge was stopped if it was."""
    stopped = f"{CHALLENGE_CANCEL} {result.challenge_cancel}" if result.challenge_cancel else None
    return " ".join(filter(None, (result.reason, stopped))) or None


async def select_is_proof_used(connection: PlainConnection, cavv: str, *, authentication_id: UUID) -> bool:
    """Tell whether a proof was given to another authentication than this one."""
    return bool(await queries.select_is_proof_used(connection, cavv=cavv, authentication_id=authentication_id))


async def update_opened(connection: PlainConnection, authentication: Authentication) -> Authentication | None:
    """Note that the browser got the CReq; None when the challenge is over."""
    return _read(await queries.update_opened(connection, **_key(authentication)))


async def update_waiting(connection: PlainConnection, authentication: Authentication) -> Authentication | None:
    """Note that a cardholder waits for the outcome; return the row with the time since when."""
    return _read(await queries.update_waiting(connection, **_key(authentication)))


async def update_abandoned(connection: PlainConnection, authentication: Authentication) -> Authentication | None:
    """End an open authentication that nobody will finish; None when it is decided."""
    row = await queries.update_abandoned(
        connection,
        **_key(authentication),
        origins=origins_of(State.ABANDONED),
        grace_seconds=GRACE_SECONDS,
    )
    return _read(row)


async def supersede(connection: PlainConnection, old: Authentication, new: Authentication) -> bool:
    """Put a successor in the place of an authentication, in the caller's transaction; False when that one moved on.

    What is expected is the very state in which the old one was seen.
    """
    if await queries.update_superseded(connection, **_key(old), origins=[old.state]) is None:
        return False
    await insert_authentications(connection, [new])
    return True


async def update_concluded(connection: PlainConnection, authentication: Authentication) -> None:
    """Note that the attempt has followed the decision."""
    await queries.update_concluded(connection, **_key(authentication))


async def lease_due_authentications(
    connection: PlainConnection, *, limit: int, lease_seconds: float
) -> list[tuple[Authentication, timedelta]]:
    """Take authentications that ran out or were not followed, each with how far its merchant's time is ahead.

    Nobody else gets them before the lease ends.
    """
    rows = queries.lease_due_authentications(connection, limit=limit, lease_seconds=lease_seconds)
    return [(_read_row(row), row["clock_offset"]) async for row in rows]


async def select_next_authentication(connection: PlainConnection, merchant_id: int) -> datetime | None:
    """Return when the next of a merchant's authentications runs out, in its time."""
    due_at: datetime | None = await queries.select_next_authentication(connection, merchant_id=merchant_id)
    return due_at


async def select_authentications_busy(connection: PlainConnection, merchant_id: int, *, due_by: datetime) -> bool:
    """Tell whether any of a merchant's authentications was due by a moment of its time, or is in somebody's hands."""
    return bool(await queries.select_authentications_busy(connection, merchant_id=merchant_id, due_by=due_by))


def _key(authentication: Authentication) -> dict[str, Any]:
    return {"merchant_id": authentication.merchant_id, "authentication_id": authentication.authentication_id}


def write_json(authentication: Authentication) -> str:
    """Write a row as PostgreSQL reads it from JSON: bytes in its own hexadecimal form."""
    row = {name: getattr(authentication, name) for name in Authentication.__slots__}
    row |= {name: f"\\x{row[name].hex()}" for name in ("page_digest", "return_digest")}
    return msgspec.json.encode(row).decode()


def _read(row: Mapping[str, Any] | None) -> Authentication | None:
    return _read_row(row) if row else None


def _read_row(row: Mapping[str, Any]) -> Authentication:
    fields = {name: row[name] for name in Authentication.__slots__}
    fields["state"] = State(fields["state"])
    fields["browser"] = msgspec.json.decode(fields["browser"], type=BrowserData) if fields["browser"] else None
    return Authentication(**fields)
