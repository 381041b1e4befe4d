"""What the verbs of this package work with, put together by `app`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tollhouse.kernel.clock import boot_seconds
from tollhouse.payments.lookups import IntentLookups
from tollhouse.payments.routing import Routes
from tollhouse.payments.work import Running
from tollhouse.risk.model import NO_LIMITS, Limits

if TYPE_CHECKING:
    from datetime import datetime

    from tollhouse.acquirers.model import Acquirer
    from tollhouse.catalog.access import Catalog
    from tollhouse.kernel.clock import DatabaseClock
    from tollhouse.payments.model import Consequence, Payment, SubscriptionForecast
    from tollhouse.payments.steps import BeginRecord, Begun, FinishRecord
    from tollhouse.rates.access import Rates
    from tollhouse.storage.coalesce import Coalescer
    from tollhouse.storage.database import Database
    from tollhouse.storage.ids import NumberBlocks
    from tollhouse.threeds.directory import Directory
    from tollhouse.vault.security_codes import SecurityCodes
    from tollhouse.vault.vault import Vault


@dataclass(frozen=True, slots=True)
class PaymentTimeouts:
    """How long things may take, in seconds."""

    #: Until a client gets `pending` for a payment that goes on.
    answer: float = 20.0
    #: From the intention until a request has to have left. The resolver looks at an attempt whose process is silent
    #: after this and the acquirer's time-out.
    margin: float = 10.0
    #: Until an open challenge is abandoned.
    challenge: float = 900.0
    #: Until an unknown outcome that cannot be inquired about is reversed.
    reversal: float = 900.0

    def send_before(self) -> float:
        """Return until when a request may leave whose intention is committed next (`transport.model`)."""
        return boot_seconds() + self.margin


@dataclass(frozen=True, slots=True)
class Tools:
    """The things that payments are made with. Nothing here belongs to one payment."""

    database: Database
    clock: DatabaseClock
    vault: Vault
    security_codes: SecurityCodes
    catalog: Catalog
    rates: Rates
    directory: Directory
    acquirers: Mapping[str, Acquirer]
    payment_numbers: NumberBlocks
    transaction_numbers: NumberBlocks
    subscription_numbers: NumberBlocks
    beginnings: Coalescer[BeginRecord, Begun]
    moves: Coalescer[FinishRecord, bool]
    #: What is written with an outcome, whoever writes it.
    consequences: Sequence[Consequence]
    #: Tells what payments make of subscriptions.
    foresee: SubscriptionForecast
    #: Where the cardholder's pages are: `https://pay.example`.
    base_url: str
    #: A merchant's IPN secrets, the current one first.
    ipn_secrets: Callable[[int], Awaitable[Sequence[str]]]
    #: Called with each payment that this process settled: metrics, and a nudge to whoever delivers IPNs.
    on_settled: Callable[[Any], None]
    patience: PaymentTimeouts = PaymentTimeouts()
    #: How often a consumer, a card and an address may pay.
    limits: Limits = NO_LIMITS
    running: Running = field(default_factory=Running)
    #: Merchant accounts that requests may name, with their acquirers; in stage any digits are one.
    mids: Mapping[str, str] = field(default_factory=dict)
    takes_test_mids: bool = False

    def now_of(self, payment: Payment) -> datetime:
        """Return the time of a payment's merchant, by which it is made and settled (`kernel.clock`)."""
        return self.clock.now_of(payment.merchant_id)

    @property
    def lookups(self) -> IntentLookups:
        """Where an intent finds what it refers to."""
        routes = Routes(tuple(self.acquirers), self.mids, self.takes_test_mids)
        return IntentLookups(self.database, self.clock, self.vault, self.catalog, routes)
