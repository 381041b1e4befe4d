"""Dependencies of the functions of this package, in small records: each function takes the smallest sufficient one.

`composition.payment_parts` builds them. A record that holds another one serves a wider function.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tollhouse.acquirers.model import Acquirer
from tollhouse.catalog.access import Catalog
from tollhouse.idempotency.running import Running
from tollhouse.kernel.clock import DatabaseClock, boot_seconds
from tollhouse.payments.model import FinishHook, SubscriptionForecast
from tollhouse.payments.routing import Routes
from tollhouse.payments.steps import BeginRecord, Begun, FinishRecord
from tollhouse.rates.access import Rates
from tollhouse.risk.assess import VelocityLimits
from tollhouse.storage.coalesce import Coalescer
from tollhouse.storage.database import Database
from tollhouse.storage.ids import NumberBlocks
from tollhouse.threeds.directory import DirectoryClient
from tollhouse.vault.security_codes import SecurityCodes
from tollhouse.vault.vault import Vault


@dataclass(frozen=True, slots=True)
class PaymentTimeouts:
    """Time-outs in seconds."""

    #: Until a client gets `pending` for a payment that continues.
    answer: float = 20.0
    #: From begin to the deadline for sending. The resolver queries an attempt whose process has been silent
    #: for this and the acquirer's time-out.
    margin: float = 10.0
    #: Until an open challenge is abandoned.
    challenge: float = 900.0
    #: Until an attempt with an unknown outcome that cannot be queried is reversed.
    reversal: float = 900.0

    def send_before(self) -> float:
        """Return the deadline for sending a request that is committed next (`transport.model`)."""
        return boot_seconds() + self.margin


@dataclass(frozen=True, slots=True)
class IntentLookups:
    """Sources of the records that a request refers to, and the keys that open its card."""

    database: Database
    clock: DatabaseClock
    vault: Vault
    catalog: Catalog
    routes: Routes


@dataclass(frozen=True, slots=True)
class PageLinks:
    """The base URL of the cardholders' pages, such as `https://pay.example`, and the vault that keys their links."""

    base_url: str
    vault: Vault


@dataclass(frozen=True, slots=True)
class ReturnLinks:
    """The URLs to which a browser returns: a payment page, or the merchant's, signed with the current IPN secret."""

    pages: PageLinks
    #: A merchant's IPN secrets, the current one first.
    ipn_secrets: Callable[[int], Awaitable[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class PaymentReader:
    """The database of payments, and the links to their challenges."""

    database: Database
    pages: PageLinks


@dataclass(frozen=True, slots=True)
class RequestDependencies:
    """Dependencies of running each request once and replaying its response."""

    reader: PaymentReader
    running: Running
    answer_seconds: float


@dataclass(frozen=True, slots=True)
class FinishDependencies:
    """Dependencies of finish, which records an outcome."""

    reader: PaymentReader
    write_queue: Coalescer[FinishRecord, bool | None]
    clock: DatabaseClock
    forecast: SubscriptionForecast
    #: Called with each payment that this process finished: counts it, and wakes the delivery of callbacks.
    on_finished: Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class AttemptDependencies:
    """Dependencies of a call to an acquirer, and of recording its outcome."""

    finish: FinishDependencies
    acquirers: Mapping[str, Acquirer]
    timeouts: PaymentTimeouts

    @property
    def database(self) -> Database:
        """The database of payments."""
        return self.finish.reader.database

    @property
    def clock(self) -> DatabaseClock:
        """The time of the database and of merchants."""
        return self.finish.clock


@dataclass(frozen=True, slots=True)
class AuthenticationDependencies:
    """Dependencies of 3-D Secure, and of the attempt that follows it."""

    attempts: AttemptDependencies
    directory: DirectoryClient
    security_codes: SecurityCodes
    vault: Vault
    returns: ReturnLinks
    running: Running

    @property
    def finish(self) -> FinishDependencies:
        """Dependencies of recording an outcome."""
        return self.attempts.finish

    @property
    def database(self) -> Database:
        """The database of payments and authentications."""
        return self.attempts.database

    @property
    def clock(self) -> DatabaseClock:
        """The time of the database and of merchants."""
        return self.attempts.clock

    @property
    def timeouts(self) -> PaymentTimeouts:
        """The time-outs of challenges and requests."""
        return self.attempts.timeouts

    @property
    def pages(self) -> PageLinks:
        """The links to the pages of challenges."""
        return self.returns.pages


@dataclass(frozen=True, slots=True)
class ChargeDependencies:
    """Dependencies of charging an intent."""

    authentication: AuthenticationDependencies
    requests: RequestDependencies
    begin_queue: Coalescer[BeginRecord, Begun]
    numbers: NumberBlocks
    rates: Rates
    #: Limits of payments by consumer, card and address.
    limits: VelocityLimits

    @property
    def attempts(self) -> AttemptDependencies:
        """Dependencies of a call to an acquirer."""
        return self.authentication.attempts

    @property
    def finish(self) -> FinishDependencies:
        """Dependencies of recording an outcome."""
        return self.authentication.attempts.finish

    @property
    def clock(self) -> DatabaseClock:
        """The time of the database and of merchants."""
        return self.authentication.attempts.finish.clock


@dataclass(frozen=True, slots=True)
class OperationDependencies:
    """Dependencies of captures, voids and refunds."""

    attempts: AttemptDependencies
    requests: RequestDependencies
    numbers: NumberBlocks

    @property
    def database(self) -> Database:
        """The database of payments."""
        return self.attempts.database


@dataclass(frozen=True, slots=True)
class VoidDependencies:
    """Dependencies of voids, also of a payment with an open challenge."""

    operations: OperationDependencies
    authentication: AuthenticationDependencies


@dataclass(frozen=True, slots=True)
class ChargebackDependencies:
    """Dependencies of recording a chargeback, for which no acquirer is called."""

    finish: FinishDependencies
    requests: RequestDependencies
    numbers: NumberBlocks
    #: The finish hooks.
    consequences: Sequence[FinishHook]

    @property
    def database(self) -> Database:
        """The database of payments."""
        return self.finish.reader.database


@dataclass(frozen=True, slots=True)
class DisputeDependencies:
    """Dependencies of importing disputes from acquirers."""

    chargebacks: ChargebackDependencies
    acquirers: Mapping[str, Acquirer]
    vault: Vault

    @property
    def database(self) -> Database:
        """The database of payments."""
        return self.chargebacks.database

    @property
    def clock(self) -> DatabaseClock:
        """The time of the database and of merchants."""
        return self.chargebacks.finish.clock


@dataclass(frozen=True, slots=True)
class CardUpdateDependencies:
    """Dependencies of querying an account updater about stored cards."""

    database: Database
    acquirers: Mapping[str, Acquirer]
    vault: Vault
