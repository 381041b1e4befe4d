"""The pauses of a caller that waits."""

from __future__ import annotations

from itertools import islice

from tollhouse.kernel.polling import growing_pauses


def test_pauses_double_up_to_the_maximum() -> None:
    """Each pause is twice the one before, up to the maximum."""
    pauses = growing_pauses(3600, min_seconds=0.1, max_seconds=0.5)
    assert list(islice(pauses, 5)) == [0.1, 0.2, 0.4, 0.5, 0.5]


def test_a_caller_without_time_pauses_once() -> None:
    """A caller that has no time looks again once."""
    assert list(growing_pauses(0, min_seconds=0.1, max_seconds=0.5)) == [0.1]
