"""What the verbs of this package need, in small records: each verb takes the smallest that has it all.

`composition` makes them. A record that holds another one can do what that one is for, and something more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tollhouse.kernel.clock import boot_seconds

if TYPE_CHECKING:
    from tollhouse.acquirers.model import Acquirer
    from tollhouse.catalog.access import Catalog
    from tollhouse.kernel.clock import DatabaseClock
    from tollhouse.payments.model import FinishHook, SubscriptionForecast
    from tollhouse.payments.routing import Routes
    from tollhouse.payments.steps import BeginRecord, Begun, FinishRecord
    from tollhouse.payments.work import Running
    from tollhouse.rates.access import Rates
    from tollhouse.risk.model import VelocityLimits
    from tollhouse.storage.coalesce import Coalescer
    from tollhouse.storage.database import Database
    from tollhouse.storage.ids import NumberBlocks
    from tollhouse.threeds.directory import DirectoryClient
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
class IntentLookups:
    """What is read, and with which keys, to build the intent of a payment."""

    database: Database
    clock: DatabaseClock
    vault: Vault
    catalog: Catalog
    routes: Routes


@dataclass(frozen=True, slots=True)
class PageLinks:
    """The address of the cardholders' pages, such as `https://pay.example`, and the vault that keys their links."""

    base_url: str
    vault: Vault


@dataclass(frozen=True, slots=True)
class ReturnLinks:
    """The ways back from a page: to a payment page, or to the merchant, signed with the current IPN secret."""

    pages: PageLinks
    #: A merchant's IPN secrets, the current one first.
    ipn_secrets: Callable[[int], Awaitable[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class PaymentReader:
    """Reads payments, and links to their challenges."""

    database: Database
    pages: PageLinks


@dataclass(frozen=True, slots=True)
class RequestDependencies:
    """Carries requests out once each, and answers their repeats."""

    reader: PaymentReader
    running: Running
    answer_seconds: float


@dataclass(frozen=True, slots=True)
class FinishDependencies:
    """Records outcomes: the second durable step."""

    reader: PaymentReader
    lane: Coalescer[FinishRecord, bool | None]
    clock: DatabaseClock
    forecast: SubscriptionForecast
    #: Called with each payment that this process finished: metrics, and a nudge to whoever delivers IPNs.
    on_finished: Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class AttemptDependencies:
    """Asks acquirers, and records what they answer."""

    finish: FinishDependencies
    acquirers: Mapping[str, Acquirer]
    timeouts: PaymentTimeouts

    @property
    def database(self) -> Database:
        """Where payments are read."""
        return self.finish.reader.database

    @property
    def clock(self) -> DatabaseClock:
        """The time of the database and of merchants."""
        return self.finish.clock


@dataclass(frozen=True, slots=True)
class AuthenticationDependencies:
    """Authenticates cardholders, and executes the attempt afterwards."""

    attempts: AttemptDependencies
    directory: DirectoryClient
    security_codes: SecurityCodes
    vault: Vault
    returns: ReturnLinks
    running: Running

    @property
    def finish(self) -> FinishDependencies:
        """What records outcomes."""
        return self.attempts.finish

    @property
    def database(self) -> Database:
        """Where payments and authentications are read."""
        return self.attempts.database

    @property
    def clock(self) -> DatabaseClock:
        """The time of the database and of merchants."""
        return self.attempts.clock

    @property
    def timeouts(self) -> PaymentTimeouts:
        """How long a challenge and a request may take."""
        return self.attempts.timeouts

    @property
    def pages(self) -> PageLinks:
        """Where the pages of challenges are."""
        return self.returns.pages


@dataclass(frozen=True, slots=True)
class ChargeDependencies:
    """Charges intents."""

    authentication: AuthenticationDependencies
    requests: RequestDependencies
    begin_lane: Coalescer[BeginRecord, Begun]
    numbers: NumberBlocks
    rates: Rates
    #: How often a consumer, a card and an address may pay.
    limits: VelocityLimits

    @property
    def attempts(self) -> AttemptDependencies:
        """What asks acquirers."""
        return self.authentication.attempts

    @property
    def finish(self) -> FinishDependencies:
        """What records outcomes."""
        return self.authentication.attempts.finish

    @property
    def clock(self) -> DatabaseClock:
        """The time of the database and of merchants."""
        return self.authentication.attempts.finish.clock


@dataclass(frozen=True, slots=True)
class OperationDependencies:
    """Captures, voids and refunds."""

    attempts: AttemptDependencies
    requests: RequestDependencies
    numbers: NumberBlocks

    @property
    def database(self) -> Database:
        """Where payments are locked and operations begun."""
        return self.attempts.database


@dataclass(frozen=True, slots=True)
class VoidDependencies:
    """Voids, also a payment that waits for its cardholder."""

    operations: OperationDependencies
    authentication: AuthenticationDependencies


@dataclass(frozen=True, slots=True)
class ChargebackDependencies:
    """Records charge-backs, which no acquirer is asked about."""

    finish: FinishDependencies
    requests: RequestDependencies
    numbers: NumberBlocks
    #: What is written with an outcome, whoever writes it.
    consequences: Sequence[FinishHook]

    @property
    def database(self) -> Database:
        """Where payments are locked and charge-backs recorded."""
        return self.finish.reader.database


@dataclass(frozen=True, slots=True)
class DisputeDependencies:
    """Imports disputes from acquirers."""

    chargebacks: ChargebackDependencies
    acquirers: Mapping[str, Acquirer]
    vault: Vault

    @property
    def database(self) -> Database:
        """Where payments are read."""
        return self.chargebacks.database

    @property
    def clock(self) -> DatabaseClock:
        """The time of the database and of merchants."""
        return self.chargebacks.finish.clock


@dataclass(frozen=True, slots=True)
class CardUpdateDependencies:
    """Asks an account updater about stored cards."""

    database: Database
    acquirers: Mapping[str, Acquirer]
    vault: Vault
