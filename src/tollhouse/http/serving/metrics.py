"""The metrics for Prometheus."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)


#: Methods with series of their own (RFC 9110, section 9, and PATCH); clients may invent others.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})


#: Errors are counted by the log, and a process has one log.
ERRORS = Counter("tollhouse_errors_total", "Log lines at the level error, by name.", ["event"], registry=None)
#: Maximum number of names. They should be constants.
MAX_ERROR_NAMES = 500

_error_names: set[str] = set()


def count_error(event: str) -> None:
    """Count a log line at the level error."""
    if event not in _error_names and len(_error_names) >= MAX_ERROR_NAMES:
        event = "other"
    _error_names.add(event)
    ERRORS.labels(event).inc()


class Metrics:
    """The metrics of one process, in a registry of their own, so that one test can have several."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(ERRORS)
        self._latency = Histogram(
            "tollhouse_request_seconds",
            "Time from the first byte of a request to the last of its response.",
            ["method", "route", "status"],
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        #: Series by their labels, because finding a series takes longer than counting.
        self._series: dict[tuple[str, str, int], Histogram] = {}
        self._outcomes = Counter(
            "tollhouse_payments_total",
            "Payments finished by this process.",
            ["mode", "status", "code"],
            registry=self.registry,
        )
        self.outbox_depth = self._gauge("tollhouse_outbox_events", "Events that merchants have not acknowledged yet.")
        self.outbox_age = self._gauge("tollhouse_outbox_oldest_seconds", "Age of the oldest unacknowledged event.")
        self._pieces = Counter(
            "tollhouse_queue_pieces_total",
            "Leased work handled by this worker, by result.",
            ["queue", "outcome"],
            registry=self.registry,
        )
        self.orphans = Counter(
            "tollhouse_callbacks_orphaned_total",
            "Held callbacks that the sweep released, because nothing else would have.",
            registry=self.registry,
        )
        self.unresolved = self._gauge("tollhouse_attempts_unresolved", "Attempts with an unknown outcome.")
        self.late_approvals = self._gauge(
            "tollhouse_late_approvals", "Approvals that arrived after their payment had failed."
        )
        self.late_approvals_unreversed = self._gauge(
            "tollhouse_late_approvals_unreversed",
            "Late approvals whose reversal the acquirer has not acknowledged yet.",
        )
        self.ledger_violations = self._gauge("tollhouse_ledger_violations", "Transactions with ledger violations.")
        self.renewals_due = self._gauge("tollhouse_renewals_due", "Subscriptions with due work.")
        self.renewals_paused = self._gauge(
            "tollhouse_renewals_paused", "1 while renewals are paused because an hour had far more than its forecast."
        )
        self.emails_waiting = self._gauge("tollhouse_emails_waiting", "Emails to consumers that are not sent yet.")
        self.sweep_lag = self._gauge(
            "tollhouse_sweep_lag_seconds", "Time since the retention of the oldest row ended.", "table"
        )
        self._heartbeats = self._gauge(
            "tollhouse_loop_completed_timestamp_seconds",
            "When a loop of this process last completed a round, in Unix time.",
            "loop",
        )
        self.queue_depth = self._gauge("tollhouse_write_queue_depth", "Items waiting for a durable write.", "queue")

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def observe_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request with its response."""
        method = method if method in METHODS else "other"
        key = (method, route, status)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = self._latency.labels(method, route, str(status))
        series.observe(seconds)

    def count_outcome(self, *, mode: str, status: str, code: str) -> None:
        """Count a finished payment."""
        self._outcomes.labels(mode, status, code).inc()

    def beat(self, loop: str) -> None:
        """Record that a loop has completed a round."""
        self._heartbeats.labels(loop).set(time.time())

    def count_piece(self, queue: str, outcome: str) -> None:
        """Count a piece of leased work."""
        self._pieces.labels(queue, outcome).inc()

    def render(self) -> bytes:
        """Render all metrics in the text format of Prometheus."""
        return generate_latest(self.registry)
