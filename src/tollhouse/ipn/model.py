"""The records of delivery: what was claimed, how an attempt went, what follows from it, and what the log shows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from tollhouse.ipn.form import Form

AttemptError = Literal[
    "address_refused",  # the address is not one that callbacks may go to
    "dns_failed",  # the host has no address
    "connect_failed",  # nobody listens there, or the way is blocked
    "connect_timeout",  # no connection in time
    "tls_failed",  # the certificate does not hold, or no common protocol
    "disconnected",  # the connection ended before the answer
    "bad_answer",  # what came back is not HTTP
    "timeout",  # no answer in time
    "redirected",  # 3xx, which is not followed
    "not_acknowledged",  # any other status than 200, 201, 202
    "internal",  # our own fault; the process's log says more
]

DeliveryState = Literal["held", "waiting", "leased", "delivered", "failed"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event to be posted to one address, as it was claimed.

    `body` is what the event says in this form: the JSON that is posted, or the XML that a form holds.
    `attempts` is how many were made before, `age` the merchant's time since the first of them, zero if there was none.
    """

    merchant_id: int
    event_id: int
    number: int
    form: Form
    host_id: int
    lease: int
    url: str
    body: bytes
    sequence: int
    kind: str
    payment_id: int | None
    transaction_id: int | None
    subscription_id: int | None
    status: str | None
    request_id: str | None
    attempts: int
    age: timedelta


@dataclass(frozen=True, slots=True)
class Run:
    """Deliveries to one host that share a lease and are posted one after the other: one slot of that host.

    A host that never acknowledged, or was slow when it was last called, is `unproven`.
    """

    merchant_id: int
    host_id: int
    lease: int
    deliveries: tuple[Delivery, ...]
    unproven: bool = False
    slow: bool = False


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """How one POST went.

    `error` is None when it was acknowledged; `retry_after_seconds` is what the endpoint asked for.
    """

    started_at: datetime
    duration_ms: int
    address: str | None = None
    status: int | None = None
    error: AttemptError | None = None
    excerpt: str = ""
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is written of a claimed delivery.

    `attempt` is None for one that is given back untried; `retry_in` is None when there is no further attempt.
    """

    delivery: Delivery
    attempt: DeliveryAttempt | None
    retry_in: timedelta | None = None

    @property
    def state(self) -> DeliveryState:
        """The state that the delivery moves to."""
        if self.attempt is None:
            return "waiting"
        if self.attempt.error is None:
            return "delivered"
        return "failed" if self.retry_in is None else "waiting"


@dataclass(frozen=True, slots=True)
class AttemptEntry:
    """One line of the attempt log.

    `at` is when it was made and `next_at` when the next one is due, both in the merchant's time; `started_at` is the
    former in real time.
    """

    number: int
    started_at: datetime
    duration_ms: int
    address: str | None
    status: int | None
    error: AttemptError | None
    excerpt: str
    next_at: datetime | None
    at: datetime


@dataclass(frozen=True, slots=True)
class DeliveryEntry:
    """One delivery in the log, with its event and its attempts, oldest first.

    `at` is when it was made and `due_at` when the next attempt is due, both in the merchant's time; `created_at` is the
    former in real time.
    """

    event_id: int
    number: int
    form: Form
    sequence: int
    kind: str
    status: str | None
    payment_id: int | None
    transaction_id: int | None
    subscription_id: int | None
    site_id: int | None
    request_id: str | None
    url: str
    state: DeliveryState
    due_at: datetime | None
    created_at: datetime
    at: datetime
    body: bytes
    attempts: tuple[AttemptEntry, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """One attempt with its delivery, or a delivery that had none yet: its `number` is 0 then.

    `started_at` is in the merchant's time.
    """

    event_id: int
    delivery_number: int
    form: Form
    url: str
    state: DeliveryState
    payment_id: int
    transaction_id: int | None
    body: bytes
    number: int
    started_at: datetime | None
    duration_ms: int | None
    status: int | None
    error: AttemptError | None
    excerpt: str | None


@dataclass(frozen=True, slots=True)
class EventEntry:
    """An event as it can be read again, with the body that is posted. `created_at` is in the merchant's time."""

    event_id: int
    sequence: int
    kind: str
    status: str | None
    created_at: datetime
    body: bytes


@dataclass(frozen=True, slots=True)
class OutboxState:
    """How much is still to be delivered, and how long the oldest of it has waited.

    Failed deliveries are not counted. A great depth is an estimate.
    """

    depth: int
    oldest_age: timedelta
