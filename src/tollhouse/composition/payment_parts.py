"""The parts of payments in one process, and the records of dependencies that are built from them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tollhouse.acquirers.model import Acquirer
from tollhouse.catalog.access import Catalog
from tollhouse.idempotency.running import Running
from tollhouse.kernel.clock import DatabaseClock
from tollhouse.links.dependencies import LinkDependencies
from tollhouse.payments.dependencies import (
    AttemptDependencies,
    AuthenticationDependencies,
    CardUpdateDependencies,
    ChargebackDependencies,
    ChargeDependencies,
    DisputeDependencies,
    FinishDependencies,
    IntentLookups,
    OperationDependencies,
    PageLinks,
    PaymentReader,
    PaymentTimeouts,
    RequestDependencies,
    ReturnLinks,
    VoidDependencies,
)
from tollhouse.payments.model import FinishHook, SubscriptionForecast
from tollhouse.payments.routing import Routes
from tollhouse.payments.steps import BeginRecord, Begun, FinishRecord
from tollhouse.rates.access import Rates
from tollhouse.risk.assess import NO_LIMITS, VelocityLimits
from tollhouse.storage.coalesce import Coalescer
from tollhouse.storage.database import Database
from tollhouse.storage.ids import NumberBlocks
from tollhouse.threeds.directory import DirectoryClient
from tollhouse.vault.security_codes import SecurityCodes
from tollhouse.vault.vault import Vault


@dataclass(frozen=True, slots=True)
class PaymentParts:
    """All parts of payments. Only `composition` uses them; functions take the records built from them."""

    database: Database
    clock: DatabaseClock
    vault: Vault
    security_codes: SecurityCodes
    catalog: Catalog
    rates: Rates
    directory: DirectoryClient
    acquirers: Mapping[str, Acquirer]
    numbers: NumberBlocks
    begin_queue: Coalescer[BeginRecord, Begun]
    finish_queue: Coalescer[FinishRecord, bool | None]
    #: Finish hooks, whose rows are written with each outcome.
    consequences: Sequence[FinishHook]
    #: Forecasts the subscription that follows from a payment.
    forecast: SubscriptionForecast
    #: The base URL of the cardholder's pages: `https://pay.example`.
    base_url: str
    #: A merchant's IPN secrets, the current one first.
    ipn_secrets: Callable[[int], Awaitable[Sequence[str]]]
    #: Called with each payment that this process finished, for metrics and to wake the delivery of callbacks.
    on_finished: Callable[[Any], None]
    timeouts: PaymentTimeouts = field(default_factory=PaymentTimeouts)
    #: Velocity limits of consumers, cards and addresses.
    limits: VelocityLimits = NO_LIMITS
    running: Running = field(default_factory=Running)
    #: Acquirer accounts that requests may name, with their acquirers; in stage any digits are accepted.
    mids: Mapping[str, str] = field(default_factory=dict)
    takes_test_mids: bool = False

    @property
    def lookups(self) -> IntentLookups:
        """The lookups of an intent."""
        routes = Routes(tuple(self.acquirers), self.mids, self.takes_test_mids)
        return IntentLookups(self.database, self.clock, self.vault, self.catalog, routes)

    @property
    def links(self) -> LinkDependencies:
        """Dependencies of links to payment pages."""
        return LinkDependencies(self.lookups, self.charging)

    @property
    def returns(self) -> ReturnLinks:
        """The URLs to which a page returns."""
        return ReturnLinks(PageLinks(self.base_url, self.vault), self.ipn_secrets)

    @property
    def reader(self) -> PaymentReader:
        """The database of payments, and the links to their challenges."""
        return PaymentReader(self.database, PageLinks(self.base_url, self.vault))

    @property
    def requests(self) -> RequestDependencies:
        """Dependencies of requests that run once."""
        return RequestDependencies(self.reader, self.running, self.timeouts.answer)

    @property
    def finish(self) -> FinishDependencies:
        """Dependencies of recording an outcome."""
        return FinishDependencies(self.reader, self.finish_queue, self.clock, self.forecast, self.on_finished)

    @property
    def attempts(self) -> AttemptDependencies:
        """Dependencies of a call to an acquirer."""
        return AttemptDependencies(self.finish, self.acquirers, self.timeouts)

    @property
    def authentication(self) -> AuthenticationDependencies:
        """Dependencies of 3-D Secure."""
        return AuthenticationDependencies(
            self.attempts, self.directory, self.security_codes, self.vault, self.returns, self.running
        )

    @property
    def charging(self) -> ChargeDependencies:
        """Dependencies of charging an intent."""
        return ChargeDependencies(
            self.authentication, self.requests, self.begin_queue, self.numbers, self.rates, self.limits
        )

    @property
    def operations(self) -> OperationDependencies:
        """Dependencies of captures, voids and refunds."""
        return OperationDependencies(self.attempts, self.requests, self.numbers)

    @property
    def voiding(self) -> VoidDependencies:
        """Dependencies of voids."""
        return VoidDependencies(self.operations, self.authentication)

    @property
    def chargebacks(self) -> ChargebackDependencies:
        """Dependencies of recording a chargeback."""
        return ChargebackDependencies(self.finish, self.requests, self.numbers, self.consequences)

    @property
    def disputes(self) -> DisputeDependencies:
        """Dependencies of importing disputes."""
        return DisputeDependencies(self.chargebacks, self.acquirers, self.vault)

    @property
    def card_updates(self) -> CardUpdateDependencies:
        """Dependencies of asking an account updater."""
        return CardUpdateDependencies(self.database, self.acquirers, self.vault)
