"""Complete a challenge without a browser, as a cardholder would.

From wherever the authentication is: open the page, answer the bank through the simulator's control API, and wait for
the outcome.
"""

from __future__ import annotations

import asyncio
from typing import Literal

import msgspec
import structlog

from tollhouse.kernel.clock import boot_seconds
from tollhouse.kernel.errors import NotFound, Unavailable
from tollhouse.kernel.polling import growing_pauses
from tollhouse.kernel.reply import Reply
from tollhouse.payments.authentication.challenge_flow import load_step, submit_browser
from tollhouse.payments.authentication.resume import abandon
from tollhouse.payments.authentications import page_key
from tollhouse.payments.dependencies import AuthenticationDependencies
from tollhouse.payments.model import Payment, Status
from tollhouse.payments.reading.stored_payment import show_payment
from tollhouse.payments.store import select_payment_by_order
from tollhouse.threeds.model import Authentication, AuthenticationState, BrowserData
from tollhouse.threeds.store import select_newest
from tollhouse.transport.model import NoResponse, RequestNotSent, Transport

Outcome = Literal["pass", "fail", "cancel", "timeout"]

#: How long the answer may take, and how often the payment is looked at meanwhile.
PATIENCE_SECONDS = 10.0
PAUSE_SECONDS = 0.05
CONTROL_TIMEOUT_SECONDS = 8.0

#: A browser like many.
BROWSER = BrowserData(
    accept_header="text/html,application/xhtml+xml",
    user_agent="Mozilla/5.0 (X11; Linux x86_64) Tollhouse headless cardholder",
    language="en-US",
    ip="203.0.113.45",
    javascript_enabled=True,
    java_enabled=False,
    color_depth=24,
    screen_height=1080,
    screen_width=1920,
    timezone_minutes=0,
)

log = structlog.get_logger()


async def complete_challenge(
    deps: AuthenticationDependencies, transport: Transport, *, merchant_id: int, payment_id: int, result: Outcome
) -> Reply:
    """Take a payment's authentication to its end, and answer with the payment as it then stands.

    `transport` leads to the simulator. A payment that is final already is answered as it is. Raises NotFound for an
    order that is not this merchant's.
    """
    payment = await _load(deps, merchant_id, payment_id)
    for pause in growing_pauses(PATIENCE_SECONDS, min_seconds=PAUSE_SECONDS, max_seconds=PAUSE_SECONDS):
        if payment.status is not Status.PENDING:
            break
        async with deps.database.acquire() as connection:
            authentication = await select_newest(
                connection, merchant_id=merchant_id, transaction_id=payment.transaction_id
            )
        if authentication is not None:
            await _take_step(deps, transport, authentication, result)
        await asyncio.sleep(pause)
        payment = await _load(deps, merchant_id, payment_id)
    return await _answer(deps, payment)


async def _take_step(
    deps: AuthenticationDependencies, transport: Transport, authentication: Authentication, result: Outcome
) -> None:
    """Do what a cardholder would do next; where there is nothing to do, the next look may find more."""
    if authentication.state is AuthenticationState.CHALLENGED:
        await _answer_bank(transport, authentication, result)
        if result == "timeout":
            await abandon(deps, authentication)
    elif result == "timeout" and not authentication.state.is_decided:
        await abandon(deps, authentication)
    elif authentication.state is AuthenticationState.COLLECTING:
        await submit_browser(deps, page_key(deps.pages, authentication.series_id), BROWSER)
    elif authentication.state is AuthenticationState.LAPSED:
        await load_step(deps, page_key(deps.pages, authentication.series_id))


async def _answer_bank(transport: Transport, authentication: Authentication, result: Outcome) -> None:
    path = f"/control/challenges/{authentication.acs_trans_id}"
    body = msgspec.json.encode({"result": result})
    try:
        send_before = boot_seconds() + CONTROL_TIMEOUT_SECONDS
        await transport.post(path, body, timeout_seconds=CONTROL_TIMEOUT_SECONDS, send_before=send_before)
    except (RequestNotSent, NoResponse) as error:
        log.warning("challenge.not_answered", transaction_id=authentication.transaction_id, cause=type(error).__name__)
        raise Unavailable("The simulator did not take the answer.") from error


async def _load(deps: AuthenticationDependencies, merchant_id: int, payment_id: int) -> Payment:
    async with deps.database.acquire() as connection:
        payment = await select_payment_by_order(connection, merchant_id=merchant_id, payment_id=payment_id)
    if payment is None:
        raise NotFound("There is no such order.")
    return payment


async def _answer(deps: AuthenticationDependencies, payment: Payment) -> Reply:
    """Answer with the payment; one that still waits for its cardholder says where."""
    return Reply(200, await show_payment(deps.finish.reader, payment))
