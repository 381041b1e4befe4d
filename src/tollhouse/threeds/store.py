"""Database access for authentications.

Every change of state is conditional: only the first succeeds, others get None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from tollhouse.storage.database import PlainConnection
from tollhouse.storage.queries import load_queries, pick_fields
from tollhouse.threeds.lifecycle import list_origins
from tollhouse.threeds.model import (
    CHALLENGE_CANCEL,
    Authentication,
    AuthenticationResponse,
    AuthenticationState,
    BrowserData,
    ChallengeResult,
)

#: Time in which an attempt should follow a decision before the sweep handles it.
GRACE_TIMEOUT_SECONDS = 30.0

queries = load_queries("tollhouse.threeds")


async def insert_authentications(connection: PlainConnection, authentications: Sequence[Authentication]) -> None:
    """Store authentications in the caller's database transaction. A repeated batch keeps the stored ones."""
    if authentications:
        rows = [(place, write_json(each)) for place, each in enumerate(authentications, 1)]
        await queries.insert_authentications(connection, authentications=rows)


async def select_by_page(connection: PlainConnection, page_digest: bytes) -> Authentication | None:
    """Return the authentication of a page, or None."""
    return _read(await queries.select_by_page(connection, page_digest=page_digest))


async def select_by_return(connection: PlainConnection, return_digest: bytes) -> Authentication | None:
    """Return the authentication from whose challenge an ACS returns a browser, or None."""
    return _read(await queries.select_by_return(connection, return_digest=return_digest))


async def select_by_trans_id(connection: PlainConnection, three_ds_server_trans_id: UUID) -> Authentication | None:
    """Return the authentication with the ID in an RReq or 3DS Method notification, or None."""
    row = await queries.select_by_trans_id(connection, three_ds_server_trans_id=three_ds_server_trans_id)
    return _read(row)


async def select_newest(connection: PlainConnection, *, merchant_id: int, transaction_id: int) -> Authentication | None:
    """Return the newest authentication of a transaction, or None."""
    row = await queries.select_newest(connection, merchant_id=merchant_id, transaction_id=transaction_id)
    return _read(row)


async def update_method_completed(connection: PlainConnection, three_ds_server_trans_id: UUID) -> None:
    """Record that the 3DS Method finished before the AReq was sent."""
    await queries.update_method_completed(connection, three_ds_server_trans_id=three_ds_server_trans_id)


async def update_requested(
    connection: PlainConnection, authentication: Authentication, browser: BrowserData
) -> Authentication | None:
    """Store the browser's data and reserve the sending of the AReq. Return None if another process has reserved it."""
    row = await queries.update_requested(
        connection,
        **_key(authentication),
        browser=msgspec.json.encode(browser).decode(),
        origins=list_origins(AuthenticationState.REQUESTED),
    )
    return _read(row)


async def update_answered(
    connection: PlainConnection,
    authentication: Authentication,
    answer: AuthenticationResponse,
    state: AuthenticationState,
) -> Authentication | None:
    """Record the ARes and the next state. Return None if no ARes is expected any more."""
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
        grace_seconds=GRACE_TIMEOUT_SECONDS,
    )
    return _read(row)


async def update_result(
    connection: PlainConnection, authentication: Authentication, result: ChallengeResult, state: AuthenticationState
) -> Authentication | None:
    """Record the RReq and the next state. Return None if the challenge is over."""
    row = await queries.update_result(
        connection,
        **_key(authentication),
        state=state,
        trans_status=result.status,
        status_reason=write_reason(result),
        eci=result.eci,
        cavv=result.cavv,
        grace_seconds=GRACE_TIMEOUT_SECONDS,
    )
    return _read(row)


def write_reason(result: ChallengeResult) -> str | None:
    """Return the reason of a result, and how the challenge was stopped if it was."""
    stopped = f"{CHALLENGE_CANCEL} {result.challenge_cancel}" if result.challenge_cancel else None
    return " ".join(filter(None, (result.reason, stopped))) or None


async def select_is_proof_used(connection: PlainConnection, cavv: str, *, authentication_id: UUID) -> bool:
    """Return whether an authentication value belongs to another authentication."""
    return bool(await queries.select_is_proof_used(connection, cavv=cavv, authentication_id=authentication_id))


async def update_opened(connection: PlainConnection, authentication: Authentication) -> Authentication | None:
    """Record that the browser got the CReq. Return None if the challenge is over."""
    return _read(await queries.update_opened(connection, **_key(authentication)))


async def update_waiting(connection: PlainConnection, authentication: Authentication) -> Authentication | None:
    """Record that a cardholder waits for the outcome. Return the row with the start of the waiting time."""
    return _read(await queries.update_waiting(connection, **_key(authentication)))


async def update_abandoned(connection: PlainConnection, authentication: Authentication) -> Authentication | None:
    """Abandon an open authentication. Return None if it is decided."""
    row = await queries.update_abandoned(
        connection,
        **_key(authentication),
        origins=list_origins(AuthenticationState.ABANDONED),
        grace_seconds=GRACE_TIMEOUT_SECONDS,
    )
    return _read(row)


async def supersede(connection: PlainConnection, old: Authentication, new: Authentication) -> bool:
    """Replace an authentication by its successor, in the caller's database transaction.

    Return False if its state has changed.

    The expected state is the one in which the old authentication was loaded.
    """
    if await queries.update_superseded(connection, **_key(old), origins=[old.state]) is None:
        return False
    await insert_authentications(connection, [new])
    return True


async def update_concluded(connection: PlainConnection, authentication: Authentication) -> None:
    """Record that the attempt has followed the decision."""
    await queries.update_concluded(connection, **_key(authentication))


async def lease_due_authentications(
    connection: PlainConnection, *, limit: int, lease_seconds: float
) -> list[tuple[Authentication, timedelta]]:
    """Lease authentications that expired or were not followed, each with the offset of its merchant's time.

    The lease excludes other processes until it ends.
    """
    rows = queries.lease_due_authentications(connection, limit=limit, lease_seconds=lease_seconds)
    return [(_read_row(row), row["clock_offset"]) async for row in rows]


async def select_next_authentication(connection: PlainConnection, merchant_id: int) -> datetime | None:
    """Return the next expiry of a merchant's authentications, in the merchant's time."""
    due_at: datetime | None = await queries.select_next_authentication(connection, merchant_id=merchant_id)
    return due_at


async def select_authentications_busy(connection: PlainConnection, merchant_id: int, *, due_by: datetime) -> bool:
    """Return whether any of a merchant's authentications was due by a moment of its time, or is leased."""
    return bool(await queries.select_authentications_busy(connection, merchant_id=merchant_id, due_by=due_by))


def _key(authentication: Authentication) -> dict[str, Any]:
    return {"merchant_id": authentication.merchant_id, "authentication_id": authentication.authentication_id}


def write_json(authentication: Authentication) -> str:
    """Serialize a row for PostgreSQL's JSON functions, with bytes in hexadecimal form."""
    row = {name: getattr(authentication, name) for name in Authentication.__slots__}
    row |= {name: f"\\x{row[name].hex()}" for name in ("page_digest", "return_digest")}
    return msgspec.json.encode(row).decode()


def _read(row: Mapping[str, Any] | None) -> Authentication | None:
    return _read_row(row) if row else None


def _read_row(row: Mapping[str, Any]) -> Authentication:
    fields = pick_fields(Authentication, row)
    fields["state"] = AuthenticationState(fields["state"])
    fields["browser"] = msgspec.json.decode(fields["browser"], type=BrowserData) if fields["browser"] else None
    return Authentication(**fields)
