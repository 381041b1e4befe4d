"""How an authentication moves. Pure: what the issuer's side says gives the next state.

    collecting ──> requested ──> challenged ──> passed | failed | abandoned
                   requested ──> passed | failed                    (frictionless)
                                 challenged ──> lapsed              (the ACS waited for a CReq that never came)
    collecting | requested | challenged | lapsed ──> abandoned      (nobody came, or nobody answered in time)
    requested | challenged | lapsed ──> superseded                  (whoever opens the page begins anew)

A payment goes on after `passed`, with a proof or without; it ends as 1010 after `failed` and as 1011 after `abandoned`.
"""

from __future__ import annotations

from tollhouse.threeds.model import Result, State, TransStatus

TRANSITIONS: dict[State, frozenset[State]] = {
    State.COLLECTING: frozenset({State.REQUESTED, State.ABANDONED}),
    State.REQUESTED: frozenset({State.CHALLENGED, State.PASSED, State.FAILED, State.ABANDONED, State.SUPERSEDED}),
    State.CHALLENGED: frozenset({State.PASSED, State.FAILED, State.ABANDONED, State.LAPSED, State.SUPERSEDED}),
    State.LAPSED: frozenset({State.ABANDONED, State.SUPERSEDED}),
}

#: Statuses whose authentication value the issuer checks in the authorization.
PROVING = frozenset({TransStatus.AUTHENTICATED, TransStatus.ATTEMPTED})

#: Statuses that leave the end to an RReq.
OPEN_ENDED = frozenset({TransStatus.CHALLENGE, TransStatus.DECOUPLED})

#: Challenge Cancelation Indicators (core specification 2.2.0, table A.1) of a cardholder who went away: the transaction
#: was abandoned, the challenge timed out at the ACS or in an SDK.
ABANDONING = frozenset({"03", "04", "08"})

#: The one for a challenge whose first CReq never came.
NEVER_OPENED = "05"


def judge(status: TransStatus, *, proceed_without_3ds: bool) -> State:
    """Return where a status leads.

    Y and A prove something, I says that no more is wanted: the payment goes on. N and R forbid it. U is left to the
    site's policy. C and D leave the end open.
    """
    match status:
        case TransStatus.AUTHENTICATED | TransStatus.ATTEMPTED | TransStatus.INFORMATIONAL:
            return State.PASSED
        case TransStatus.UNAVAILABLE:
            return State.PASSED if proceed_without_3ds else State.FAILED
        case TransStatus.DENIED | TransStatus.REJECTED:
            return State.FAILED
        case TransStatus.CHALLENGE | TransStatus.DECOUPLED:
            return State.CHALLENGED


def judge_result(result: Result, *, proceed_without_3ds: bool) -> State:
    """Return where the end of a challenge leads. A cardholder who went away did not fail."""
    if result.status not in PROVING:
        if result.challenge_cancel == NEVER_OPENED:
            return State.LAPSED
        if result.challenge_cancel in ABANDONING:
            return State.ABANDONED
    return judge(result.status, proceed_without_3ds=proceed_without_3ds)


def origins_of(state: State) -> list[State]:
    """Return the states from which one can be reached: what a conditional update expects."""
    return [origin for origin, targets in TRANSITIONS.items() if state in targets]
