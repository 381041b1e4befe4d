"""The order of the tests: long ones at the beginnings of the workers' shares."""

from __future__ import annotations

import pytest
from tests.support.order import LONG, put_long_first

LONG_LETTERS = (("x", "y"), ("z",))


def order(items: str, workers: int) -> str:
    """Order letters, of which x, y and z are long."""
    return "".join(put_long_first(items, name_of=str, workers=workers, long=LONG_LETTERS))


@pytest.mark.parametrize(
    ("items", "workers", "ordered"),
    [
        ("abcxyzde", 1, "xyzabcde"),
        ("abcxyzde", 2, "xyabzcde"),
        ("abcxyzdef", 2, "xyabzcdef"),
        ("abcxyzdef", 3, "xyazbcdef"),
        ("xyz", 2, "xyz"),
        ("xyyyyzab", 2, "xyyyyzab"),
        ("ab", 3, "ab"),
        ("", 2, ""),
    ],
)
def test_long_ones_begin_a_share(items: str, workers: int, ordered: str) -> None:
    """Each group begins a worker's share as pytest-xdist cuts it; the others keep their order, and none is lost."""
    assert order(items, workers) == ordered


def test_what_is_called_long_exists(request: pytest.FixtureRequest) -> None:
    """A file or folder that is to begin first is there, so that a new name does not go unnoticed."""
    for group in LONG:
        for prefix in group:
            assert (request.config.rootpath / prefix).exists()
