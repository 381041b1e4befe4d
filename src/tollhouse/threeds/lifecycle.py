"""The lifecycle of an authentication: rules from the issuer's messages to the next state.

    collecting ──> requested ──> challenged ──> passed | failed | abandoned
                   requested ──> passed | failed                    (frictionless)
                                 challenged ──> lapsed              (the ACS waited for a CReq that never came)
    collecting | requested | challenged | lapsed ──> abandoned      (the cardholder did not come or answer in time)
    requested | challenged | lapsed ──> superseded                  (opening the page starts a new one)

A payment continues after `passed`, with an authentication value or without. It ends as 1010 after `failed` and as 1011
after `abandoned`.
"""

from __future__ import annotations

from tollhouse.threeds.model import AuthenticationState, ChallengeResult, TransStatus

TRANSITIONS: dict[AuthenticationState, frozenset[AuthenticationState]] = {
    AuthenticationState.COLLECTING: frozenset({AuthenticationState.REQUESTED, AuthenticationState.ABANDONED}),
    AuthenticationState.REQUESTED: frozenset(
        {
            AuthenticationState.CHALLENGED,
            AuthenticationState.PASSED,
            AuthenticationState.FAILED,
            AuthenticationState.ABANDONED,
            AuthenticationState.SUPERSEDED,
        }
    ),
    AuthenticationState.CHALLENGED: frozenset(
        {
            AuthenticationState.PASSED,
            AuthenticationState.FAILED,
            AuthenticationState.ABANDONED,
            AuthenticationState.LAPSED,
            AuthenticationState.SUPERSEDED,
        }
    ),
    AuthenticationState.LAPSED: frozenset({AuthenticationState.ABANDONED, AuthenticationState.SUPERSEDED}),
}

#: Statuses whose authentication value the issuer verifies in the authorization.
PROVING = frozenset({TransStatus.AUTHENTICATED, TransStatus.ATTEMPTED})

#: Statuses that are followed by an RReq.
OPEN_ENDED = frozenset({TransStatus.CHALLENGE, TransStatus.DECOUPLED})

#: Challenge Cancelation Indicators (core specification 2.2.0, table A.1) for an absent cardholder: the transaction was
#: abandoned, the challenge timed out at the ACS or in an SDK.
ABANDONING = frozenset({"03", "04", "08"})

#: The indicator for a challenge whose first CReq was never received.
NEVER_OPENED = "05"


def find_next_state(status: TransStatus, *, proceed_without_3ds: bool) -> AuthenticationState:
    """Return the state that follows from a status.

    Y and A provide an authentication value, and I means that none is needed: the payment continues. N and R reject it.
    U is left to the site's policy. C and D leave the outcome open.
    """
    match status:
        case TransStatus.AUTHENTICATED | TransStatus.ATTEMPTED | TransStatus.INFORMATIONAL:
            return AuthenticationState.PASSED
        case TransStatus.UNAVAILABLE:
            return AuthenticationState.PASSED if proceed_without_3ds else AuthenticationState.FAILED
        case TransStatus.DENIED | TransStatus.REJECTED:
            return AuthenticationState.FAILED
        case TransStatus.CHALLENGE | TransStatus.DECOUPLED:
            return AuthenticationState.CHALLENGED


def find_state_after_challenge(result: ChallengeResult, *, proceed_without_3ds: bool) -> AuthenticationState:
    """Return the state that follows from the end of a challenge. A cardholder who left has not failed."""
    if result.status not in PROVING:
        if result.challenge_cancel == NEVER_OPENED:
            return AuthenticationState.LAPSED
        if result.challenge_cancel in ABANDONING:
            return AuthenticationState.ABANDONED
    return find_next_state(result.status, proceed_without_3ds=proceed_without_3ds)


def list_origins(state: AuthenticationState) -> list[AuthenticationState]:
    """Return the states from which a state can be reached, as a conditional update expects them."""
    return [origin for origin, targets in TRANSITIONS.items() if state in targets]
