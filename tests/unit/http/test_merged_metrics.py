"""Metrics of several processes as those of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from tollhouse.http.serving.merged_metrics import merge_metrics
from tollhouse.http.serving.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Mapping


def read(text: bytes) -> Mapping[tuple[str, tuple[str, ...]], float]:
    """Return the samples by name and label values."""
    families = text_string_to_metric_families(text.decode())
    return {(s.name, tuple(s.labels.values())): s.value for family in families for s in family.samples}


def test_counts_are_added_up_and_gauges_are_not() -> None:
    """Requests and outcomes of all processes are added up; what the database says is the same for all."""
    processes = [Metrics(), Metrics()]
    for number, metrics in enumerate(processes, start=1):
        for _ in range(number):
            metrics.observe_request("POST", "/payment", 201, 0.02)
        metrics.count_outcome(mode="sale", status="success", code="0")
        metrics.outbox_depth.set(7)
        metrics.queue_depth.labels("begin").set(number)
    merged = read(merge_metrics([metrics.render().decode() for metrics in processes], running=2, restarts=1))
    assert merged["tollhouse_request_seconds_count", ("POST", "/payment", "201")] == 3
    assert merged["tollhouse_request_seconds_bucket", ("+Inf", "POST", "/payment", "201")] == 3
    assert merged["tollhouse_payments_total", ("0", "sale", "success")] == 2
    assert merged["tollhouse_outbox_events", ()] == 7
    assert merged["tollhouse_write_queue_depth", ("begin",)] == 3
    assert merged["tollhouse_processes_running", ()] == 2
    assert merged["tollhouse_process_restarts_total", ()] == 1


def test_the_loop_that_is_furthest_behind_is_shown() -> None:
    """A loop that hangs in one process is not hidden by those that go on in others."""
    processes = [Metrics(), Metrics()]
    for metrics in processes:
        metrics.beat("clock")
    first = [read(metrics.render())["tollhouse_loop_completed_timestamp_seconds", ("clock",)] for metrics in processes]
    merged = read(merge_metrics([metrics.render().decode() for metrics in processes], running=2, restarts=0))
    assert merged["tollhouse_loop_completed_timestamp_seconds", ("clock",)] == min(first)


def test_one_process_alone_loses_nothing() -> None:
    """Every sample of a process is there when it is the only one."""
    metrics = Metrics()
    metrics.observe_request("GET", "/codes", 200, 0.001)
    own = read(metrics.render())
    merged = read(merge_metrics([metrics.render().decode()], running=1, restarts=0))
    assert {name: merged[name] for name in own} == own
