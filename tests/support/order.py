"""In which order the tests run: what takes long begins first, each on a worker of its own.

pytest-xdist hands each worker an equal share of the list, and a worker that has finished takes from the end of the
longest share (`--dist worksteal`). Whatever is long and stands at the end of a share is waited for by all others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import TypeVar

T = TypeVar("T")

#: What is long, by the beginnings of their paths: one group for each worker, together because a group shares processes.
LONG = (
    ("tests/api/test_openapi.py", "tests/api/test_books_command.py", "tests/api/test_busy_clock.py"),
    ("tests/browser/",),
    ("tests/torture/test_processes.py", "tests/torture/test_years.py", "tests/torture/test_restore.py"),
    ("tests/torture/test_late_approvals.py", "tests/torture/test_stop.py", "tests/acceptance/"),
)


def put_long_first(
    items: Sequence[T], *, name_of: Callable[[T], str], workers: int, long: Sequence[tuple[str, ...]] = LONG
) -> list[T]:
    """Return the items with the long groups at the beginnings of the workers' shares, and else in their order.

    `name_of` gives an item's path. With fewer workers than groups a share begins with several of them. The order
    depends on nothing else, for all workers have to come to the same one.
    """
    heads: list[list[T]] = [[] for _ in range(workers)]
    for number, group in enumerate(long):
        for prefix in group:
            heads[number % workers] += [item for item in items if name_of(item).startswith(prefix)]
    prefixes = tuple(prefix for group in long for prefix in group)
    others = iter([item for item in items if not name_of(item).startswith(prefixes)])
    return _fill_up(heads, others, total=len(items))


def _fill_up(heads: Iterable[list[T]], others: Iterable[T], *, total: int) -> list[T]:
    """Put each head at the place where pytest-xdist will cut: a share is what is left, divided by who is left."""
    ordered: list[T] = []
    rest, waiting = iter(others), list(heads)
    while waiting:
        share = (total - len(ordered)) // len(waiting)
        head = waiting.pop(0)
        ordered += head
        ordered += islice(rest, max(0, share - len(head)))
    return [*ordered, *rest]
