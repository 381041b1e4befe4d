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
    """Writes down what happened to subscriptions, in the transaction that made it so: by a package above this one."""

    async def __call__(self, connection: PlainConnection, happenings: Sequence[LifecycleEvent]) -> None:
        """Write the happenings of a batch, of subscriptions that the caller has locked."""
        ...


class DescribeEvents(Protocol):
    """Builds the events about subscriptions that an outcome causes, by a package above this one."""

    async def __call__(
        self, connection: PlainConnection, happenings: Sequence[LifecycleEvent]
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
