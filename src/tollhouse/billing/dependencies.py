"""Dependencies of the functions of this package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tollhouse.billing.model import LifecycleEvent
from tollhouse.kernel.clock import DatabaseClock
from tollhouse.payments.dependencies import CardUpdateDependencies, ChargeDependencies, IntentLookups
from tollhouse.storage.database import Database, PlainConnection


class RecordEvents(Protocol):
    """A function that records events of subscriptions in the transaction that causes them, from a package above."""

    async def __call__(self, connection: PlainConnection, lifecycle_events: Sequence[LifecycleEvent]) -> None:
        """Record the events of a batch. The caller has locked the subscriptions."""
        ...


class DescribeEvents(Protocol):
    """A function that builds the events of subscriptions that an outcome causes, from a package above this one."""

    async def __call__(
        self, connection: PlainConnection, lifecycle_events: Sequence[LifecycleEvent]
    ) -> Sequence[tuple[Any, ...]]:
        """Return the rows of the events."""
        ...


@dataclass(frozen=True, slots=True)
class BillingDependencies:
    """Dependencies of renewals and of changes to subscriptions."""

    lookups: IntentLookups
    charging: ChargeDependencies
    updates: CardUpdateDependencies
    tell: RecordEvents

    @property
    def database(self) -> Database:
        """The database of subscriptions."""
        return self.lookups.database

    @property
    def clock(self) -> DatabaseClock:
        """The time of the database and of merchants."""
        return self.lookups.clock
