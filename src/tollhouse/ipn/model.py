"""Records of delivery: leased deliveries, attempts, outcomes, and entries of the log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from tollhouse.ipn.form import Form

AttemptError = Literal[
    "address_refused",  # the address policy forbids callbacks to this address
    "dns_failed",  # the host has no address
    "connect_failed",  # the port is closed, or a firewall blocks it
    "connect_timeout",  # no connection in time
    "tls_failed",  # the certificate is invalid, or there is no common protocol
    "disconnected",  # the connection ended before the response
    "bad_answer",  # the response is not HTTP
    "timeout",  # no response in time
    "redirected",  # 3xx, which is not followed
    "not_acknowledged",  # any other status than 200, 201, 202
    "internal",  # a fault of ours; the log has the trace
]

DeliveryState = Literal["held", "waiting", "leased", "delivered", "failed"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One leased delivery: an event to be posted to one URL.

    `body` is the JSON that is posted, or the XML of the legacy form. `attempts` is the number of earlier attempts,
    `age` the merchant time since the first of them, zero if there was none.
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
    """Deliveries to one host that share a lease and are posted one after the other. A run uses one slot of its host.

    A host that never acknowledged, or was slow at the last call, is `unproven`.
    """

    merchant_id: int
    host_id: int
    lease: int
    deliveries: tuple[Delivery, ...]
    unproven: bool = False
    slow: bool = False


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """One POST and its result.

    `error` is None if it was acknowledged; `retry_after_seconds` is the endpoint's `Retry-After`.
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
    """The outcome of a leased delivery.

    `attempt` is None if it was released without an attempt; `retry_in` is None if no attempt follows.
    """

    delivery: Delivery
    attempt: DeliveryAttempt | None
    retry_in: timedelta | None = None

    @property
    def state(self) -> DeliveryState:
        """The new state of the delivery."""
        if self.attempt is None:
            return "waiting"
        if self.attempt.error is None:
            return "delivered"
        return "failed" if self.retry_in is None else "waiting"


@dataclass(frozen=True, slots=True)
class AttemptEntry:
    """One line of the attempt log.

    `at` and `next_at`, the time of the next attempt, are merchant time; `started_at` is `at` in real time.
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

    `at` and `due_at`, the time of the next attempt, are merchant time; `created_at` is `at` in real time.
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
    """One attempt with its delivery, or a delivery without an attempt: its `number` is then 0.

    `started_at` is merchant time.
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
    """A stored event with the body that is posted. `created_at` is merchant time."""

    event_id: int
    sequence: int
    kind: str
    status: str | None
    created_at: datetime
    body: bytes


@dataclass(frozen=True, slots=True)
class OutboxState:
    """The number of unfinished deliveries and the age of the oldest.

    Failed deliveries are not counted. A large depth is an estimate.
    """

    depth: int
    oldest_age: timedelta
