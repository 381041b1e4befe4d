"""The loops of each kind of process, by name."""

from __future__ import annotations

import asyncio
from functools import partial

from tollhouse.composition.app import Gateway
from tollhouse.composition.payment_parts import PaymentParts
from tollhouse.ipn.delivery.deliver import DeliveryRules
from tollhouse.ipn.delivery.workers import OrphanSweep
from tollhouse.ledger_check.verify import verify_all_new
from tollhouse.merchants.clock import read_offsets
from tollhouse.payments.authentication.resume import MAX_SWEPT_AUTHENTICATIONS, sweep_authentications
from tollhouse.storage.database import set_clock
from tollhouse.storage.sweep import Sweeper
from tollhouse.worker.emails import send_emails
from tollhouse.worker.events import DeliveryLimits, deliver_events, number_events
from tollhouse.worker.payments import build_hold_work, build_resolve_work, build_reversal_work, import_all_disputes
from tollhouse.worker.queue import LeasedQueue, Piece, Work
from tollhouse.worker.run import Loop, every
from tollhouse.worker.subscriptions import Renewals, build_card_work

IMPORT_DISPUTES_INTERVAL_SECONDS = 5.0
SWEEP_AUTHENTICATIONS_INTERVAL_SECONDS = 1.0
SWEEP_INTERVAL_SECONDS = 5.0
VERIFY_LEDGER_INTERVAL_SECONDS = 5.0
SWEEP_ORPHANS_INTERVAL_SECONDS = 5.0
READ_ORIGINS_INTERVAL_SECONDS = 5.0
READ_TIME_INTERVAL_SECONDS = 5.0
#: Every process knows an advanced clock within a second.
READ_OFFSETS_INTERVAL_SECONDS = 0.5
READ_RATES_INTERVAL_SECONDS = 5.0
#: Maximum time that a key of a security code remains after its 15 minutes.
DELETE_KEYS_INTERVAL_SECONDS = 5.0


def build_loops(gateway: Gateway, stop: asyncio.Event) -> dict[str, Loop]:
    """Return the worker's loops by name. Each runs until `stop` is set."""
    gateway, numbered = gateway.for_worker(), asyncio.Event()
    policy = gateway.settings.address_policy

    return {
        "number events": lambda beat: number_events(
            gateway.database, stop=stop, wake=gateway.wake, numbered=numbered, beat=beat
        ),
        "deliver events": lambda beat: deliver_events(
            gateway.database,
            secrets_of=gateway.secrets.of,
            policy=policy,
            stop=stop,
            wake=numbered,
            rules=DeliveryRules(slots=gateway.settings.callback_places_by_endpoint),
            bounds=DeliveryLimits(
                total=gateway.settings.callback_places, at_address=gateway.settings.callback_places_by_address
            ),
            beat=beat,
            count=gateway.metrics.count_piece,
        ),
        "free orphaned callbacks": every(
            SWEEP_ORPHANS_INTERVAL_SECONDS, OrphanSweep(gateway.database, gateway.metrics.orphans.inc).step, stop
        ),
        **_build_payment_loops(gateway.parts, stop),
        "verify ledger": every(
            VERIFY_LEDGER_INTERVAL_SECONDS, partial(verify_all_new, gateway.database, is_stopping=stop.is_set), stop
        ),
        "sweep expired rows": every(
            SWEEP_INTERVAL_SECONDS, Sweeper(gateway.database, gateway.sweeps, stop=stop).step, stop
        ),
        **_build_leased_loops(gateway, stop),
        **_build_email_loop(gateway, stop),
    } | _build_common_loops(gateway, stop)


def _build_leased_loops(gateway: Gateway, stop: asyncio.Event) -> dict[str, Loop]:
    """Return the loops that lease rows due by their merchant's clock."""
    parts, billing = gateway.parts, gateway.billing

    def lease(work: Work[Piece]) -> dict[str, Loop]:
        queue = LeasedQueue(work, count=gateway.metrics.count_piece)
        return {work.name: lambda beat: queue.run(stop=stop, beat=beat)}

    return {
        **lease(build_resolve_work(parts.attempts)),
        **lease(build_reversal_work(parts.attempts)),
        **lease(build_hold_work(parts.operations)),
        **lease(Renewals(billing).build_work()),
        **lease(build_card_work(billing)),
    }


def _build_payment_loops(parts: PaymentParts, stop: asyncio.Event) -> dict[str, Loop]:
    """Return the loops that finish payments."""
    return {
        "import disputes": every(
            IMPORT_DISPUTES_INTERVAL_SECONDS,
            partial(import_all_disputes, parts.disputes, is_stopping=stop.is_set),
            stop,
        ),
        "sweep authentications": every(
            SWEEP_AUTHENTICATIONS_INTERVAL_SECONDS,
            partial(sweep_authentications, parts.authentication),
            stop,
            backlog=MAX_SWEPT_AUTHENTICATIONS,
        ),
    }


def _build_email_loop(gateway: Gateway, stop: asyncio.Event) -> dict[str, Loop]:
    """Return the loop that sends emails to consumers, if there is a transport."""
    mail_transport = gateway.mail_transport
    if mail_transport is None:
        return {}
    return {
        "send emails": lambda beat: send_emails(
            gateway.database, mail_transport, stop=stop, beat=beat, count=gateway.metrics.count_piece
        )
    }


def build_web_loops(gateway: Gateway, stop: asyncio.Event) -> dict[str, Loop]:
    """Return the loops of a process that serves HTTP."""
    return {
        "read allowed origins": every(READ_ORIGINS_INTERVAL_SECONDS, gateway.origins.refresh, stop)
    } | _build_common_loops(gateway, stop)


def _build_common_loops(gateway: Gateway, stop: asyncio.Event) -> dict[str, Loop]:
    """Return the loops of every process. They read the time again because the monotonic clock drifts and pauses."""
    rates = gateway.parts.rates

    async def read_time() -> None:
        await set_clock(gateway.parts.clock, gateway.database)

    async def delete_keys() -> None:
        gateway.parts.security_codes.forget_keys(gateway.parts.clock.now())

    loops: dict[str, Loop] = {
        "delete keys of challenges": every(DELETE_KEYS_INTERVAL_SECONDS, delete_keys, stop),
        "read time": every(READ_TIME_INTERVAL_SECONDS, read_time, stop),
        "read rates": every(READ_RATES_INTERVAL_SECONDS, rates.refresh, stop),
    }
    if not gateway.settings.is_live:
        read = partial(read_offsets, gateway.database, gateway.parts.clock)
        loops["read offsets"] = every(READ_OFFSETS_INTERVAL_SECONDS, read, stop)
    return loops
