"""What the verbs of this package work with, put together by `app`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tollhouse.billing.model import LifecycleEvent
    from tollhouse.payments.tools import Tools
    from tollhouse.storage.database import PlainConnection


class RecordEvents(Protocol):
    """Writes down what happened to subscriptions, in the transaction that made it so: by a package above this one."""

    async def __call__(self, connection: PlainConnection, happenings: Sequence[LifecycleEvent]) -> None:
        """Write the happenings of a batch, of subscriptions that the caller has locked."""
        ...


@dataclass(frozen=True, slots=True)
class BillingDependencies:
    """What payments are made with, and whom to tell what happens without one."""

    tools: Tools
    tell: RecordEvents
