"""Complete a challenge without a browser, as a cardholder would.

Continue from the present state of the authentication: open the page, complete the challenge through the simulator's
control API, and wait for the outcome.
"""

from __future__ import annotations

import asyncio
from typing import Literal

from tollhouse.kernel.errors import NotFound
from tollhouse.kernel.polling import growing_pauses
from tollhouse.kernel.rendered_response import RenderedResponse
from tollhouse.payments.authentication.challenge_flow import load_step, submit_browser
from tollhouse.payments.authentication.resume import abandon
from tollhouse.payments.authentications import page_key
from tollhouse.payments.dependencies import AuthenticationDependencies
from tollhouse.payments.model import Payment, Status
from tollhouse.payments.reading.stored_payment import render_stored_payment
from tollhouse.payments.store import select_payment_by_order
from tollhouse.stage.simulator_calls import call_simulator
from tollhouse.threeds.model import Authentication, AuthenticationState, BrowserData
from tollhouse.threeds.store import select_newest
from tollhouse.transport.model import Transport

Outcome = Literal["pass", "fail", "cancel", "timeout"]

#: Time-out for the outcome, and the interval at which the payment is checked.
OUTCOME_TIMEOUT_SECONDS = 10.0
POLL_INTERVAL_SECONDS = 0.05

#: Data of a common browser.
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


async def complete_challenge(
    deps: AuthenticationDependencies, transport: Transport, *, merchant_id: int, payment_id: int, result: Outcome
) -> RenderedResponse:
    """Complete a payment's authentication, and respond with the payment.

    `transport` connects to the simulator. A finished payment is returned unchanged. Raises NotFound if the merchant has
    no such payment.
    """
    payment = await _load(deps, merchant_id, payment_id)
    for pause in growing_pauses(
        OUTCOME_TIMEOUT_SECONDS, min_seconds=POLL_INTERVAL_SECONDS, max_seconds=POLL_INTERVAL_SECONDS
    ):
        if payment.status is not Status.PENDING:
            break
        async with deps.database.acquire() as connection:
            authentication = await select_newest(
                connection, merchant_id=merchant_id, transaction_id=payment.transaction_id
            )
        if authentication is not None:
            await _continue_challenge(deps, transport, authentication, result)
        await asyncio.sleep(pause)
        payment = await _load(deps, merchant_id, payment_id)
    return await _respond(deps, payment)


async def _continue_challenge(
    deps: AuthenticationDependencies, transport: Transport, authentication: Authentication, result: Outcome
) -> None:
    """Do the cardholder's next step, if there is one at present."""
    if authentication.state is AuthenticationState.CHALLENGED:
        await call_simulator(transport, f"/control/challenges/{authentication.acs_trans_id}", {"result": result})
        if result == "timeout":
            await abandon(deps, authentication)
    elif result == "timeout" and not authentication.state.is_decided:
        await abandon(deps, authentication)
    elif authentication.state is AuthenticationState.COLLECTING:
        await submit_browser(deps, page_key(deps.pages, authentication.series_id), BROWSER)
    elif authentication.state is AuthenticationState.LAPSED:
        await load_step(deps, page_key(deps.pages, authentication.series_id))


async def _load(deps: AuthenticationDependencies, merchant_id: int, payment_id: int) -> Payment:
    async with deps.database.acquire() as connection:
        payment = await select_payment_by_order(connection, merchant_id=merchant_id, payment_id=payment_id)
    if payment is None:
        raise NotFound("Payment not found.")
    return payment


async def _respond(deps: AuthenticationDependencies, payment: Payment) -> RenderedResponse:
    """Respond with the payment, and with the challenge URL if it still waits for its cardholder."""
    return RenderedResponse(200, await render_stored_payment(deps.finish.reader, payment))
