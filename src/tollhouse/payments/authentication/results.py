"""Record the result of a challenge from the Directory Server, which alone decides."""

from __future__ import annotations

from hmac import compare_digest

import structlog

from tollhouse.payments.authentication.proofs import is_used
from tollhouse.payments.authentication.resume import apply_decision, load_payment
from tollhouse.payments.dependencies import AuthenticationDependencies
from tollhouse.threeds.elements import FORM, TRANSIENT, UNKNOWN_TRANSACTION, ProtocolError
from tollhouse.threeds.lifecycle import find_state_after_challenge
from tollhouse.threeds.messages import build_erro, build_rres, parse_rreq, reject_result
from tollhouse.threeds.model import Authentication, AuthenticationState, ChallengeResult
from tollhouse.threeds.store import select_by_trans_id, update_result

log = structlog.get_logger()


async def receive_result(deps: AuthenticationDependencies, body: bytes) -> bytes:
    """Record an RReq and return the RRes, or an Erro. The payment continues after the response.

    A repeated, a contradicting and a late result are acknowledged and change nothing. Raises Unavailable if the result
    could not be written; its sender then repeats it.
    """
    try:
        result = parse_rreq(body)
        await _record(deps, result)
    except ProtocolError as error:
        log.warning("challenge_result.rejected", cause=str(error))
        return build_erro(error, answers="RReq")
    return build_rres(result)


async def _record(deps: AuthenticationDependencies, result: ChallengeResult) -> None:
    async with deps.database.acquire() as connection:
        authentication = await select_by_trans_id(connection, result.three_ds_server_trans_id)
    authentication = _check_origin(authentication, result)
    if result.cavv is not None and await is_used(deps, authentication, result.cavv):
        raise reject_result(result, FORM, "authenticationValue")
    payment = await load_payment(deps, authentication)
    state = find_state_after_challenge(result, proceed_without_3ds=payment.proceed_without_3ds)
    async with deps.database.acquire() as connection:
        decided = await update_result(connection, authentication, result, state)
    log.info(
        "challenge_result.recorded",
        transaction_id=authentication.transaction_id,
        status=result.status,
        state=state,
        counts=decided is not None,
    )
    if decided is not None and decided.state.is_decided:
        _ = deps.running.start("conclude", apply_decision, deps, decided)


def _check_origin(authentication: Authentication | None, result: ChallengeResult) -> Authentication:
    """Return the authentication if the result has its IDs. Raises ProtocolError.

    The Directory Server's ID never passes through the browser, so only the Directory Server knows it.
    """
    if authentication is None:
        raise reject_result(result, UNKNOWN_TRANSACTION, "threeDSServerTransID")
    if authentication.state is AuthenticationState.REQUESTED:
        raise reject_result(result, TRANSIENT, "the answer to the AReq is still being read")
    ids = (authentication.acs_trans_id, authentication.ds_trans_id)
    if None in ids or not compare_digest(f"{ids[0]} {ids[1]}", f"{result.acs_trans_id} {result.ds_trans_id}"):
        raise reject_result(result, UNKNOWN_TRANSACTION, "acsTransID,dsTransID")
    if authentication.version != result.version:
        raise reject_result(result, FORM, "messageVersion")
    return authentication
