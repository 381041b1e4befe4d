"""docs/reference/ipn.md agrees with the code: its programs verify our signatures, its tables are complete."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from tests.support.callbacks import BODY, SECRET, make_delivery

from tollhouse.ipn.delivery.attempt import build_headers
from tollhouse.ipn.delivery.schedule import RETRY_INTERVALS
from tollhouse.ipn.message.signature import sign_status
from tollhouse.ipn.model import AttemptError

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "ipn.md").read_text()


def program(number: int) -> Callable[..., None]:
    """The `verify` function of one of the page's Python programs."""
    source = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[number]
    names: dict[str, Any] = {}
    exec(source, names)  # noqa: S102 - our own page
    verify: Callable[..., None] = names["verify"]
    return verify


def test_page_verifies_webhook_signatures() -> None:
    """The page's first program accepts our signature with either secret of a rotation, and rejects another body."""
    delivery = make_delivery("https://example.com/")
    sent = build_headers(delivery, ["new", SECRET], timestamp=int(time.time()))
    headers = {name.lower(): value for name, value in sent.items()}
    verify = program(0)
    verify("new", headers, BODY)
    verify(SECRET, headers, BODY)
    with pytest.raises(ValueError, match="wrong"):
        verify(SECRET, headers, BODY + b" ")


def test_page_verifies_status_signatures() -> None:
    """The page's second program accepts our signature, and rejects another status."""
    verify = program(1)
    verify(SECRET, sign_status(SECRET, "12345", "success"), "12345", "success")
    with pytest.raises(ValueError, match="wrong"):
        verify(SECRET, sign_status(SECRET, "12345", "success"), "12345", "fail")


def test_page_names_every_header() -> None:
    """Every header of an attempt is on the page."""
    headers = build_headers(make_delivery("https://example.com/"), [SECRET], timestamp=1)
    assert [name for name in headers if f"| `{name}` |" not in PAGE] == []


def test_page_names_every_error() -> None:
    """Every error of the log is on the page."""
    assert [word for word in get_args(AttemptError) if f"| `{word}` |" not in PAGE] == []


def test_page_has_the_schedule() -> None:
    """The page's table has the retry intervals of the code, in order."""
    units = {"second": 1, "minute": 60, "hour": 3600}
    rows = re.findall(r"^\| \d+(?: to \d+)? \| (\d+) (second|minute|hour)s?", PAGE, re.MULTILINE)
    assert [int(count) * units[unit] for count, unit in rows] == [wait.total_seconds() for wait in RETRY_INTERVALS]
