"""Guide the cardholder through our pages: choose the next step, and accept data from the browser.

A page is found by an unguessable key and shows the stored state. So a refresh, the back button, a double submit and a
second tab are harmless: each leads to the merchant in the end. No data from the browser decides about the payment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hmac import compare_digest

import structlog

from tollhouse.kernel.errors import NotFound
from tollhouse.kernel.polling import growing_pauses
from tollhouse.payments import authentications as make
from tollhouse.payments.authentication.proofs import send_areq
from tollhouse.payments.authentication.resume import apply_decision, load_payment, open_card
from tollhouse.payments.dependencies import AuthenticationDependencies
from tollhouse.payments.model import AttemptState, Payment, Status
from tollhouse.payments.pages import choose_return_url
from tollhouse.threeds import store
from tollhouse.threeds.elements import ProtocolError
from tollhouse.threeds.lifecycle import find_next_state
from tollhouse.threeds.messages import build_creq, build_method_data, parse_cres, parse_method_answer
from tollhouse.threeds.model import Authentication, AuthenticationRequest, AuthenticationState, BrowserData

#: The wait of a returned cardholder for the outcome; after that the merchant gets the state so far.
RETURN_TIMEOUT = timedelta(seconds=10)
#: An ACS waits so long for the first CReq (EMV 3DS core specification 2.2.0, section 5.5); then a new
#: authentication is needed.
CREQ_TIMEOUT = timedelta(seconds=30)
#: After this an AReq without a response was sent by a process that died.
AREQ_TIMEOUT = timedelta(seconds=20)
#: Authentications of one attempt.
MAX_AUTHENTICATIONS = 20

MIN_POLL_INTERVAL_SECONDS = 0.05
MAX_POLL_INTERVAL_SECONDS = 0.4

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Collect:
    """Collect browser data, and run the 3DS Method if there is one."""

    payment: Payment
    method_url: str | None
    method_data: str | None


@dataclass(frozen=True, slots=True)
class Challenge:
    """Post the CReq to the ACS."""

    payment: Payment
    acs_url: str
    creq: str


@dataclass(frozen=True, slots=True)
class Confirm:
    """Wait while the cardholder confirms in the bank's app."""

    payment: Payment


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for the outcome."""

    payment: Payment


@dataclass(frozen=True, slots=True)
class Redirect:
    """Go to a URL: the merchant's, or our page again."""

    url: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The link expired before the cardholder had confirmed; `url` leads to the merchant."""

    payment: Payment
    url: str


Step = Collect | Challenge | Confirm | Wait | Redirect | Ended
#: `load_step` or `open_return`: returns the step of a page by its key.
FindStep = Callable[[AuthenticationDependencies, str], Awaitable[Step]]


async def load_step(deps: AuthenticationDependencies, key: str) -> Step:
    """Return the step that the page shows. Raises NotFound for an unknown key."""
    authentication = await _find_by_page(deps, key)
    payment = await load_payment(deps, authentication)
    if authentication.state is AuthenticationState.ABANDONED:
        return Ended(payment, await choose_return_url(deps.returns, payment))
    if _awaits_outcome(payment, authentication):
        return await _wait_or_redirect(deps, payment, authentication)
    return await _choose_open_step(deps, payment, authentication)


async def _choose_open_step(deps: AuthenticationDependencies, payment: Payment, authentication: Authentication) -> Step:
    """Return the step of an open authentication."""
    match authentication.state:
        case AuthenticationState.COLLECTING:
            return _build_collect(deps, payment, authentication)
        case AuthenticationState.REQUESTED if not _is_older(deps, authentication.requested_at, AREQ_TIMEOUT):
            return Wait(payment)
        case AuthenticationState.CHALLENGED if authentication.is_decoupled:
            return Confirm(payment)
        case AuthenticationState.CHALLENGED if authentication.opened_at or not _is_creq_overdue(deps, authentication):
            return await _open_challenge(deps, payment, authentication)
        case _:
            return await _start_successor(deps, payment, authentication)


def _is_creq_overdue(deps: AuthenticationDependencies, authentication: Authentication) -> bool:
    may_restart = authentication.number < MAX_AUTHENTICATIONS
    return may_restart and _is_older(deps, authentication.answered_at, CREQ_TIMEOUT)


def _build_collect(deps: AuthenticationDependencies, payment: Payment, authentication: Authentication) -> Collect:
    if authentication.method_url is None:
        return Collect(payment, None, None)
    data = build_method_data(
        three_ds_server_trans_id=authentication.three_ds_server_trans_id,
        notification_url=make.method_url(deps.pages, authentication),
    )
    return Collect(payment, authentication.method_url, data)


async def _open_challenge(deps: AuthenticationDependencies, payment: Payment, authentication: Authentication) -> Step:
    """Return the CReq: the same one for each request."""
    async with deps.database.acquire() as connection:
        opened = await store.update_opened(connection, authentication)
    if opened is None or opened.acs_url is None or opened.acs_trans_id is None:
        return Wait(payment)
    creq = build_creq(
        version=opened.version,
        three_ds_server_trans_id=opened.three_ds_server_trans_id,
        acs_trans_id=opened.acs_trans_id,
    )
    return Challenge(payment, opened.acs_url, creq)


async def _start_successor(deps: AuthenticationDependencies, payment: Payment, authentication: Authentication) -> Step:
    """Start a new authentication behind the same page. The result of the old one will be ignored."""
    if authentication.number >= MAX_AUTHENTICATIONS:
        return Wait(payment)
    successor = make.draft_successor(deps, authentication)
    async with deps.database.transaction() as connection:
        won = await store.supersede(connection, authentication, successor)
    return _build_collect(deps, payment, successor) if won else Wait(payment)


async def find_payment(deps: AuthenticationDependencies, key: str) -> Payment:
    """Return the payment of a page. Raises NotFound for an unknown key."""
    return await load_payment(deps, await _find_by_page(deps, key))


async def submit_browser(deps: AuthenticationDependencies, key: str, browser: BrowserData) -> None:
    """Record the browser data and send the AReq, once. Raises NotFound."""
    authentication = await _find_by_page(deps, key)
    payment = await load_payment(deps, authentication)
    if payment.attempt.state is not AttemptState.CHALLENGED:
        return
    send_before = deps.timeouts.send_before()
    async with deps.database.acquire() as connection:
        requested = await store.update_requested(connection, authentication, browser)
    if requested is not None:
        areq = make.build_areq(
            deps, payment, requested, card=open_card(deps, payment), browser=browser, send_before=send_before
        )
        await asyncio.shield(deps.running.start("authenticate", _send_areq, deps, payment, requested, areq))


async def _send_areq(
    deps: AuthenticationDependencies, payment: Payment, authentication: Authentication, areq: AuthenticationRequest
) -> None:
    """Send the AReq and record its response; continue the payment if the authentication is decided."""
    answer = await send_areq(deps, authentication, areq)
    state = find_next_state(answer.status, proceed_without_3ds=payment.proceed_without_3ds)
    async with deps.database.acquire() as connection:
        answered = await store.update_answered(connection, authentication, answer, state)
    if answered is not None and answered.state.is_decided:
        _ = deps.running.start("conclude", apply_decision, deps, answered)


async def complete_method(deps: AuthenticationDependencies, key: str, data: str) -> bool:
    """Record that the 3DS Method completed; False for a report that is not ours."""
    try:
        trans_id = parse_method_answer(data)
    except ProtocolError:
        return False
    async with deps.database.acquire() as connection:
        authentication = await store.select_by_trans_id(connection, trans_id)
        if authentication is None:
            return False
        if not compare_digest(make.method_key(deps.pages, authentication.authentication_id).encode(), key.encode()):
            return False
        await store.update_method_completed(connection, trans_id)
    return True


async def receive_return(deps: AuthenticationDependencies, key: str, cres: str) -> None:
    """Record that the ACS sent the browser back. Its data prove nothing and are only logged.

    Raises NotFound for an unknown key. Repeating it changes nothing.
    """
    async with deps.database.acquire() as connection:
        authentication = await store.select_by_return(connection, make.digest_key(key))
        if authentication is None:
            raise NotFound
        if authentication.state in {
            AuthenticationState.CHALLENGED,
            AuthenticationState.PASSED,
            AuthenticationState.FAILED,
            AuthenticationState.ABANDONED,
        }:
            await store.update_waiting(connection, authentication)
    log.info(
        "cardholder.returned",
        transaction_id=authentication.transaction_id,
        claims=_read_claim(authentication, cres),
        state=authentication.state,
    )


def _read_claim(authentication: Authentication, cres: str) -> str:
    try:
        server_id, acs_id, status = parse_cres(cres)
    except ProtocolError as error:
        return f"not understood: {error.code}"
    ours = (authentication.three_ds_server_trans_id, authentication.acs_trans_id)
    return status.value if (server_id, acs_id) == ours else "about another transaction"


async def open_return(deps: AuthenticationDependencies, key: str) -> Step:
    """Return the step of a browser that came back from the ACS. Raises NotFound for an unknown key."""
    async with deps.database.acquire() as connection:
        authentication = await store.select_by_return(connection, make.digest_key(key))
    if authentication is None:
        raise NotFound
    payment = await load_payment(deps, authentication)
    if _awaits_outcome(payment, authentication):
        return await _wait_or_redirect(deps, payment, authentication)
    return Redirect(make.page_url(deps.pages, authentication))


def _awaits_outcome(payment: Payment, authentication: Authentication) -> bool:
    """Return whether the cardholder has nothing left to do: decided, or sent back by the ACS."""
    has_returned = authentication.state is AuthenticationState.CHALLENGED and authentication.waiting_since is not None
    return payment.status is not Status.PENDING or authentication.state.is_decided or has_returned


async def _wait_or_redirect(deps: AuthenticationDependencies, payment: Payment, authentication: Authentication) -> Step:
    """Wait up to 10 s for an open outcome, then redirect to the merchant with the state so far."""
    if payment.status is not Status.PENDING:
        return Redirect(await choose_return_url(deps.returns, payment))
    if authentication.waiting_since is None:
        async with deps.database.acquire() as connection:
            authentication = await store.update_waiting(connection, authentication) or authentication
    if not _is_older(deps, authentication.waiting_since, RETURN_TIMEOUT):
        return Wait(payment)
    return Redirect(await choose_return_url(deps.returns, payment))


async def wait_for_step(deps: AuthenticationDependencies, key: str, find_step: FindStep, *, seconds: float) -> Step:
    """Return the step of a page as soon as there is a further one, or after a time-out. Raises NotFound."""
    step = await find_step(deps, key)
    for pause in growing_pauses(seconds, min_seconds=MIN_POLL_INTERVAL_SECONDS, max_seconds=MAX_POLL_INTERVAL_SECONDS):
        if not is_waiting(step):
            break
        await asyncio.sleep(pause)
        step = await find_step(deps, key)
    return step


def is_waiting(step: Step) -> bool:
    """Return whether a page has nothing to show but that it waits."""
    return isinstance(step, Wait | Confirm)


async def _find_by_page(deps: AuthenticationDependencies, key: str) -> Authentication:
    async with deps.database.acquire() as connection:
        authentication = await store.select_by_page(connection, make.digest_key(key))
    if authentication is None:
        raise NotFound
    return authentication


def _is_older(deps: AuthenticationDependencies, moment: datetime | None, age: timedelta) -> bool:
    return moment is not None and deps.clock.now() - moment > age
