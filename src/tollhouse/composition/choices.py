"""Implementations chosen by the settings: acquirer, senders of messages and emails, limits. Used by `app`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tollhouse.acquirers.approving import ApprovingAcquirer
from tollhouse.acquirers.model import Acquirer
from tollhouse.acquirers.simulated import SimulatedAcquirer
from tollhouse.api.tokenize_limits import TokenizeRates
from tollhouse.billing.dependencies import RecordEvents
from tollhouse.billing.emails import insert_emails
from tollhouse.billing.model import LifecycleEvent
from tollhouse.billing.outcomes import ChangeSubscriptions, FinishRenewal, RecordExpiry, RecordVoidedEnds
from tollhouse.billing.renewals import breaker
from tollhouse.billing.subscribe import DeletePendingSubscriptions, StartSubscriptions
from tollhouse.composition.settings import Settings
from tollhouse.ipn.message.lifecycle_events import record_lifecycle_events
from tollhouse.ipn.message.record import RecordEvent
from tollhouse.kernel.errors import InternalError
from tollhouse.links import store as links
from tollhouse.merchants import sign_in
from tollhouse.notices import store as notices
from tollhouse.notices.smtp import SmtpTransport
from tollhouse.notices.transport import MailTransport, RecordingMailTransport
from tollhouse.payments.consequences import EmailReceipt, PostEntries, RecordLastCard, StoreCard
from tollhouse.payments.model import FinishHook
from tollhouse.payments.operations.holds import TrackHold
from tollhouse.payments.velocity import RecordDecline, build_sweeps
from tollhouse.phones import store as phones
from tollhouse.phones.sender import DisabledSender, MessageSender, RecordingSender, WebhookSender
from tollhouse.risk.assess import NO_LIMITS, VelocityLimit, VelocityLimits
from tollhouse.storage.database import PlainConnection
from tollhouse.storage.sweep import Sweep
from tollhouse.transport.http import HttpTransport
from tollhouse.transport.model import Transport

#: Calls of `/tokenize` per minute.
LIVE_RATES = TokenizeRates(by_address=60, by_network=600, by_card=20, by_key=6_000)
#: Payments and declines per hour: far above an honest consumer, and soon reached by a tester of stolen cards.
LIVE_LIMITS = VelocityLimits(consumer=VelocityLimit(30, 10), card=VelocityLimit(30, 10), address=VelocityLimit(300, 50))


def build_acquirer(settings: Settings, transport: Transport) -> Acquirer:
    """Choose the connector. Raises InternalError for a connector without an acquirer in live."""
    if settings.acquirer == "approving":
        if settings.is_live:
            raise InternalError("The approving acquirer is for stage only.")
        return ApprovingAcquirer()
    return SimulatedAcquirer(
        transport,
        timeout_seconds=settings.acquirer_timeout_seconds,
        longest_delay_seconds=settings.acquirer_longest_delay_seconds,
    )


def build_sender(settings: Settings) -> MessageSender:
    """Choose the sender of messages to phones: the operator's endpoint, or else the inbox page in stage."""
    if settings.phone_sender_url is not None:
        key = settings.phone_sender_key
        authorization = f"Bearer {key.get_secret_value()}" if key else None
        return WebhookSender(
            HttpTransport(settings.phone_sender_url, authorization=authorization), settings.phone_channels
        )
    return DisabledSender() if settings.is_live else RecordingSender(settings.phone_channels)


def build_mail_transport(settings: Settings) -> MailTransport | None:
    """Choose the transport of emails: the mail server, or else the inbox page in stage, and none in live."""
    if settings.mail is not None:
        server, sender = settings.mail
        return SmtpTransport(server, sender=sender)
    return None if settings.is_live else RecordingMailTransport()


def choose_consequences(mail_transport: MailTransport | None, limits: VelocityLimits) -> tuple[FinishHook, ...]:
    """Choose the finish hooks: emails if there is a transport, counts if there are velocity limits."""
    emails = () if mail_transport is None else (EmailReceipt(),)
    counting = (RecordDecline(),) if limits.is_set else ()
    billing = (StartSubscriptions(), DeletePendingSubscriptions(), FinishRenewal(), ChangeSubscriptions())
    events = (RecordVoidedEnds(), RecordEvent(), RecordExpiry())
    return (StoreCard(), RecordLastCard(), *billing, PostEntries(), TrackHold(), *events, *emails, *counting)


def choose_event_recorder(mail_transport: MailTransport | None) -> RecordEvents:
    """Return the recorder of events of subscriptions, which also inserts emails if a mail transport is configured."""
    if mail_transport is None:
        return record_lifecycle_events

    async def record(connection: PlainConnection, lifecycle_events: Sequence[LifecycleEvent]) -> None:
        await record_lifecycle_events(connection, lifecycle_events)
        await insert_emails(connection, lifecycle_events)

    return record


def choose_rates(settings: Settings) -> TokenizeRates:
    """Return the limits of `/tokenize`: as set, or else none in stage and the defaults in live."""
    default = LIVE_RATES if settings.is_live else TokenizeRates()
    chosen = {
        name: getattr(default, name) if setting is None else setting
        for name in ("by_address", "by_network", "by_card", "by_key")
        for setting in [getattr(settings, f"tokenize_{name}")]
    }
    return TokenizeRates(**chosen)


def divide_limits(settings: Settings, processes: int) -> Settings:
    """Return the settings of one of several `serve` processes, with its share of the limits kept in memory."""
    rates = choose_rates(settings)
    limits = {f"tokenize_{name}": getattr(rates, name) for name in ("by_address", "by_network", "by_card", "by_key")}
    limits |= {
        "unknown_keys_by_address": settings.unknown_keys_by_address,
        "connections_per_address": settings.connections_per_address,
    }
    return settings.model_copy(update={name: math.ceil(limit / processes) for name, limit in limits.items()})


def choose_sweeps(limits: VelocityLimits) -> tuple[Sweep, ...]:
    """List the sweeps of rows whose retention ends, except those of the vault."""
    return (*phones.SWEEPS, *notices.SWEEPS, *links.SWEEPS, *breaker.SWEEPS, *sign_in.SWEEPS, *build_sweeps(limits))


def choose_limits(settings: Settings) -> VelocityLimits:
    """Return the velocity limits: as set, or else none in stage and the defaults in live."""
    default = LIVE_LIMITS if settings.is_live else NO_LIMITS
    chosen = {
        name: VelocityLimit(
            _choose(settings, f"velocity_attempts_by_{name}", getattr(default, name).attempts),
            _choose(settings, f"velocity_declines_by_{name}", getattr(default, name).declines),
        )
        for name in ("consumer", "card", "address")
    }
    return VelocityLimits(window_seconds=settings.velocity_window_seconds, **chosen)


def _choose(settings: Settings, name: str, default: int) -> int:
    setting: int | None = getattr(settings, name)
    return default if setting is None else setting
