"""Combined metrics of several processes.

Counters and histograms are added up. A gauge is the highest of the processes, since most gauges read the database and
are the same for all; the exceptions are listed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

Labels = tuple[tuple[str, str], ...]
Merge = Callable[[Iterable[float]], float]

#: Gauges that are not merged by the highest value.
GAUGES: Mapping[str, Merge] = {
    "tollhouse_write_queue_depth": sum,
    # The loop that is furthest behind is the relevant one.
    "tollhouse_loop_completed_timestamp_seconds": min,
}
ADDED_UP = frozenset({"counter", "histogram", "summary"})


def merge_metrics(texts: Sequence[str], *, running: int, restarts: int) -> bytes:
    """Merge metrics in the text format, and add the number of running processes and of restarts."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Merged(texts, running, restarts))
    return generate_latest(registry)


class _Merged(Collector):
    def __init__(self, texts: Sequence[str], running: int, restarts: int) -> None:
        self._texts = texts
        self._running = running
        self._restarts = restarts

    def collect(self) -> Iterator[Metric]:
        """Yield each metric once."""
        yield GaugeMetricFamily("tollhouse_processes_running", "Running processes of this group.", self._running)
        text = "Restarts of processes that had ended by themselves."
        yield CounterMetricFamily("tollhouse_process_restarts", text, self._restarts)
        families: dict[str, list[Metric]] = {}
        for each in self._texts:
            for family in text_string_to_metric_families(each):
                families.setdefault(family.name, []).append(family)
        for same in families.values():
            yield _merge(same)


def _merge(families: Sequence[Metric]) -> Metric:
    first = families[0]
    merge = _choose_merge(first)
    values: dict[tuple[str, Labels], list[float]] = {}
    for family in families:
        for sample in family.samples:
            values.setdefault((sample.name, tuple(sample.labels.items())), []).append(sample.value)
    merged = Metric(first.name, first.documentation, first.type)
    for (name, labels), given in values.items():
        merged.add_sample(name, dict(labels), merge(given))
    return merged


def _choose_merge(family: Metric) -> Merge:
    if family.type in ADDED_UP:
        return sum
    if family.name.endswith("_created"):
        return min
    return GAUGES.get(family.name, max)
