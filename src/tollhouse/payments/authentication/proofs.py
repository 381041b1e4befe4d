"""Accept each proof of authentication (CAVV) only once."""

from __future__ import annotations

import structlog

from tollhouse.payments.dependencies import AuthenticationDependencies
from tollhouse.threeds.directory import TECHNICAL
from tollhouse.threeds.model import Authentication, AuthenticationRequest, AuthenticationResponse, TransStatus
from tollhouse.threeds.store import select_is_proof_used

log = structlog.get_logger()


async def send_areq(
    deps: AuthenticationDependencies, authentication: Authentication, areq: AuthenticationRequest
) -> AuthenticationResponse:
    """Send the AReq of an authentication. A response with a used proof counts as status U (not performed)."""
    answer = await deps.directory.authenticate(areq)
    if answer.cavv is not None and await is_used(deps, authentication, answer.cavv):
        return AuthenticationResponse(TransStatus.UNAVAILABLE, TECHNICAL)
    return answer


async def is_used(deps: AuthenticationDependencies, authentication: Authentication, cavv: str) -> bool:
    """Return whether a proof belongs to another authentication, and log it."""
    async with deps.database.acquire() as connection:
        used = await select_is_proof_used(connection, cavv, authentication_id=authentication.authentication_id)
    if used:
        log.warning("proof.replayed", transaction_id=authentication.transaction_id)
    return used
