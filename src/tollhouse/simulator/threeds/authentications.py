"""Database access for authentications, shared by Directory Server, ACS and issuer."""

from __future__ import annotations

import base64
import secrets
from uuid import UUID, uuid4

from asyncpg import Record

from tollhouse.simulator import rules
from tollhouse.simulator.model import Assessment, ReceivedAreq, SimulatedAuthentication
from tollhouse.simulator.store import queries
from tollhouse.storage.database import PlainConnection
from tollhouse.storage.queries import pick_fields

MAX_UNFINISHED = 1_000


async def insert_authentication(
    connection: PlainConnection, request: ReceivedAreq, assessment: Assessment, *, life_seconds: float
) -> SimulatedAuthentication:
    """Store the decision about an AReq, or return the decision about its first arrival."""
    is_final = assessment.status not in rules.OPEN_ENDED
    row = await queries.insert_authentication(
        connection,
        acs_trans_id=uuid4(),
        ds_trans_id=uuid4(),
        threeds_server_trans_id=request.threeds_server_trans_id,
        message_version=request.message_version,
        message_category=request.message_category,
        card_name=request.card.name if request.card else None,
        masked_number=request.masked_number,
        brand=request.brand,
        amount_minor=request.amount_minor,
        currency=request.currency,
        merchant_name=request.merchant_name,
        notification_url=request.notification_url,
        threeds_server_url=request.threeds_server_url,
        first_status=assessment.status,
        final_status=assessment.status if is_final else None,
        status_reason=assessment.reason,
        eci=assessment.eci,
        cavv=new_cavv() if assessment.status in rules.PROVING else None,
        life_seconds=life_seconds,
    )
    if row is None:
        row = await queries.select_authentication_by_server(
            connection, threeds_server_trans_id=request.threeds_server_trans_id
        )
    return read(row)


async def select_authentication(connection: PlainConnection, acs_trans_id: UUID) -> SimulatedAuthentication | None:
    """Return one authentication, after ending it if it has expired."""
    row = await queries.update_expired(connection, acs_trans_id=acs_trans_id)
    row = row or await queries.select_authentication(connection, acs_trans_id=acs_trans_id)
    return read(row) if row else None


async def update_passed(connection: PlainConnection, authentication: SimulatedAuthentication) -> None:
    """End an open challenge with success and a new authentication value."""
    await queries.update_final(
        connection,
        acs_trans_id=authentication.acs_trans_id,
        final_status="Y",
        status_reason=None,
        eci=rules.choose_eci("Y", authentication.brand),
        cavv=new_cavv(),
        challenge_cancel=None,
    )


async def update_canceled(connection: PlainConnection, authentication: SimulatedAuthentication) -> None:
    """Cancel an open challenge, as the cardholder does (Challenge Cancelation Indicator 01)."""
    await queries.update_final(
        connection,
        acs_trans_id=authentication.acs_trans_id,
        final_status="N",
        status_reason=rules.CARD_AUTHENTICATION_FAILED,
        eci=None,
        cavv=None,
        challenge_cancel="01",
    )


async def select_unfinished(connection: PlainConnection) -> list[SimulatedAuthentication]:
    """Return the authentications that a restart resumes, oldest first."""
    return [read(row) async for row in queries.select_unfinished(connection, row_limit=MAX_UNFINISHED)]


def read(row: Record) -> SimulatedAuthentication:
    """Parse a row."""
    return SimulatedAuthentication(**pick_fields(SimulatedAuthentication, row))


def new_cavv() -> str:
    """Draw an authentication value: 20 random bytes, 28 characters of base64."""
    return base64.b64encode(secrets.token_bytes(20)).decode()
