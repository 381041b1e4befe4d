"""A DSN with several hosts becomes one for each."""

from __future__ import annotations

import pytest

from tollhouse.storage.hosts import split_hosts


@pytest.mark.parametrize(
    ("dsn", "single"),
    [
        ("postgresql://u@a/db", ["postgresql://u@a/db"]),
        ("postgresql:///db", ["postgresql:///db"]),
        (
            "postgresql://u:p%40s@a:5433,b,[::1]:5434/db?sslmode=require",
            [
                "postgresql://u:p%40s@a:5433/db?sslmode=require",
                "postgresql://u:p%40s@b/db?sslmode=require",
                "postgresql://u:p%40s@[::1]:5434/db?sslmode=require",
            ],
        ),
        (
            "postgresql://u@/db?host=/run/a,/run/b&port=5432,5433&target_session_attrs=any",
            [
                "postgresql://u@/db?host=%2Frun%2Fa&port=5432&target_session_attrs=any",
                "postgresql://u@/db?host=%2Frun%2Fb&port=5433&target_session_attrs=any",
            ],
        ),
        (
            "postgresql://u@/db?host=a,b&port=6000",
            ["postgresql://u@/db?host=a&port=6000", "postgresql://u@/db?host=b&port=6000"],
        ),
        ("postgresql://u@/db?host=a,b", ["postgresql://u@/db?host=a", "postgresql://u@/db?host=b"]),
    ],
)
def test_each_host_has_its_dsn(dsn: str, single: list[str]) -> None:
    """User, database and options stay; a port belongs to its host, or to all if there is one."""
    assert split_hosts(dsn) == single


def test_hosts_and_ports_that_do_not_fit_are_left_to_the_driver() -> None:
    """A DSN with three hosts and two ports is not guessed at."""
    dsn = "postgresql://u@/db?host=a,b,c&port=1,2"
    assert split_hosts(dsn) == [dsn]
