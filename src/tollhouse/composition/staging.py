"""Objects that exist only in stage: calls and pages for tests, and tasks driven by the virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Protocol, TypeVar

from tollhouse.acquirers.test_data import TestDataClient
from tollhouse.api.reading.access import RequestAuthenticator
from tollhouse.api.stage.challenge import ChallengeCalls
from tollhouse.api.stage.chargeback import IssuerCalls
from tollhouse.api.stage.clock import ClockCalls
from tollhouse.api.stage.faults import FaultCalls
from tollhouse.api.stage.test_payment_data import TestCardCalls
from tollhouse.billing.dependencies import BillingDependencies
from tollhouse.billing.store import select_cards_busy, select_is_busy, select_next_card, select_next_due
from tollhouse.composition.payment_parts import PaymentParts
from tollhouse.composition.settings import Settings
from tollhouse.http.routes import Route
from tollhouse.ipn.store import select_deliveries_busy, select_next_delivery
from tollhouse.kernel.urls import STAGE
from tollhouse.merchants.secrets import IpnSecrets
from tollhouse.payments.authentication.resume import sweep_authentications
from tollhouse.payments.operations.holds import select_holds_busy, select_next_hold
from tollhouse.payments.resolve.resolve_attempts import select_attempts_busy
from tollhouse.phones.sender import RecordingSender
from tollhouse.phones.verify import PhoneDependencies
from tollhouse.stage.advance import ClockDependencies, advance, get_next_due
from tollhouse.stage.clock_tasks import ClockDrivenTask, Disputes, DueMoment, query_rows, return_no_due_time
from tollhouse.stage.home import StagePages
from tollhouse.stage.inbox import Inbox
from tollhouse.stage.mailbox import Mailbox
from tollhouse.stage.simulator_calls import call_simulator
from tollhouse.stage.three_ds import complete_challenge
from tollhouse.storage.database import PlainConnection
from tollhouse.threeds.store import select_authentications_busy, select_next_authentication
from tollhouse.transport.model import Transport
from tollhouse.worker.events import deliver_once
from tollhouse.worker.payments import process_due_holds, resolve_due
from tollhouse.worker.subscriptions import check_due_cards, renew_due

Found = TypeVar("Found")
#: A query about a merchant's rows at a time.
Ask = Callable[["PlainConnection", int, DueMoment], Awaitable[Found]]


class DueBy(Protocol):
    """A query whether rows of a merchant were due by a time."""

    async def __call__(self, connection: PlainConnection, merchant_id: int, *, due_by: datetime) -> bool:
        """Return whether any row was due."""
        ...


def list_stage_calls(
    parts: PaymentParts, authenticator: RequestAuthenticator, *, transport: Transport, clockwork: ClockDependencies
) -> list[Route]:
    """Return the routes of calls that exist only in stage. `transport` connects to the simulator."""
    test_data = TestDataClient(transport, parts.clock.now_of)
    calls = (
        ChallengeCalls(authenticator, partial(complete_challenge, parts.authentication, transport)),
        FaultCalls(authenticator, partial(call_simulator, transport)),
        IssuerCalls(parts.chargebacks, parts.vault.digest, authenticator),
        TestCardCalls(test_data, authenticator, parts.database, parts.vault.digest),
        ClockCalls(authenticator, partial(advance, clockwork), partial(get_next_due, clockwork)),
    )
    return [route for call in calls for route in call.routes()]


def list_stage_pages(
    settings: Settings, parts: PaymentParts, *, secrets: IpnSecrets, phones: PhoneDependencies
) -> list[Route]:
    """Return the routes of pages that exist only in stage."""
    return [*_build_inbox(settings, parts, secrets, phones).routes(), *StagePages().routes()]


def build_clockwork(
    parts: PaymentParts,
    billing: BillingDependencies,
    secrets: IpnSecrets,
    wake: asyncio.Event,
    *,
    others_learn_seconds: float = 0.0,
) -> ClockDependencies:
    """Build the service that advances clocks."""
    return ClockDependencies(
        parts.database,
        parts.clock,
        parts.running,
        build_clock_tasks(parts, billing, secrets),
        wake.set,
        others_learn_seconds=others_learn_seconds,
    )


def build_clock_tasks(
    parts: PaymentParts, billing: BillingDependencies, secrets: IpnSecrets
) -> tuple[ClockDrivenTask, ...]:
    """List the tasks that fall due by a merchant's clock, or must be done before the clock advances.

    Causes precede their effects: if a check in this order finds nothing, nothing is due.
    """

    def ask(select: Ask[Found]) -> Callable[[int, DueMoment], Awaitable[Found]]:
        return query_rows(parts.database, select)

    disputes = Disputes(parts.disputes)
    sweep = partial(sweep_authentications, parts.authentication)
    deliver = partial(deliver_once, parts.database, secrets_of=secrets.of, policy=STAGE)
    return (
        ClockDrivenTask(
            "authorization",
            ask(_next(select_next_hold)),
            ask(_due_by(select_holds_busy)),
            partial(process_due_holds, parts.operations),
        ),
        ClockDrivenTask(
            "challenge", ask(_next(select_next_authentication)), ask(_due_by(select_authentications_busy)), sweep
        ),
        ClockDrivenTask("dispute", disputes.next_due, disputes.is_busy, disputes.run),
        ClockDrivenTask(
            "card", ask(_next(select_next_card)), ask(_due_by(select_cards_busy)), partial(check_due_cards, billing)
        ),
        ClockDrivenTask(
            "subscription", ask(_next(select_next_due)), ask(_due_by(select_is_busy)), partial(renew_due, billing)
        ),
        ClockDrivenTask(
            "outcome", return_no_due_time, ask(_select_attempts_busy), partial(resolve_due, parts.attempts)
        ),
        ClockDrivenTask("callback", ask(_select_next_delivery), ask(_select_deliveries_busy), deliver),
    )


def _next(select: Callable[[PlainConnection, int], Awaitable[datetime | None]]) -> Ask[datetime | None]:
    """Return the query for the next due time, independent of the given time."""

    async def ask(connection: PlainConnection, merchant_id: int, mark: DueMoment) -> datetime | None:
        del mark
        return await select(connection, merchant_id)

    return ask


def _due_by(select: DueBy) -> Ask[bool]:
    """Return the query whether something was due at a time."""

    async def ask(connection: PlainConnection, merchant_id: int, mark: DueMoment) -> bool:
        return await select(connection, merchant_id, due_by=mark.time)

    return ask


async def _select_attempts_busy(connection: PlainConnection, merchant_id: int, mark: DueMoment) -> bool:
    return await select_attempts_busy(connection, merchant_id, sent_by=mark.real_at)


async def _select_next_delivery(connection: PlainConnection, merchant_id: int, mark: DueMoment) -> datetime | None:
    return await select_next_delivery(connection, merchant_id, with_failing=mark.is_patient)


async def _select_deliveries_busy(connection: PlainConnection, merchant_id: int, mark: DueMoment) -> bool:
    return await select_deliveries_busy(
        connection, merchant_id, due_by=mark.time, made_by=mark.real_at, with_failing=mark.is_patient
    )


def _build_inbox(settings: Settings, parts: PaymentParts, secrets: IpnSecrets, phones: PhoneDependencies) -> Inbox:
    """Build the inbox page. It shows messages only if they are not sent elsewhere, because sent ones are not kept."""
    sender = phones.sender
    return Inbox(
        parts.database,
        parts.catalog,
        secrets.of,
        Mailbox(),
        settings.public_url,
        messages_of=sender.shown if isinstance(sender, RecordingSender) else lambda _: [],
        has_mail_server=settings.mail is not None,
    )
