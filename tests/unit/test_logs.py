"""The finished line of the log, in both of its forms."""

from __future__ import annotations

import subprocess
import sys

import pytest

NUMBER = "4024007179366348"
SAY = f"""
import structlog
from tollhouse.composition.logs import configure_logs
configure_logs(form={{form!r}}, level="info")
structlog.get_logger().info("somebody said", text="pay {NUMBER} now")
"""


@pytest.mark.parametrize("form", ["json", "console"])
def test_what_looks_like_a_card_number_is_masked(form: str) -> None:
    """A text that somebody sent may hold a card number; no line of the log does, for machines or for people."""
    said = subprocess.run(
        [sys.executable, "-c", SAY.format(form=form)], capture_output=True, text=True, check=True
    ).stderr

    assert "somebody said" in said
    assert "402400****6348" in said
    assert NUMBER not in said


BREAK = """
import structlog
from tollhouse.http.serving.metrics import Metrics
from tollhouse.kernel.errors import InternalError
from tollhouse.composition.logs import configure_logs
configure_logs(form={form!r}, level="info")
def read(cvv):
    try:
        int(cvv)
    except ValueError as error:
        raise InternalError("A code was not read.") from error
for _ in range(2):
    try:
        read("12x")
    except InternalError:
        structlog.get_logger().exception("work.failed")
print(Metrics().render().decode())
"""


@pytest.mark.parametrize("form", ["json", "console"])
def test_an_error_is_counted_and_shows_the_way_without_values(form: str) -> None:
    """A line at the level error has the frames of the whole chain, none of its values, and is counted by its name."""
    ran = subprocess.run([sys.executable, "-c", BREAK.format(form=form)], capture_output=True, text=True, check=True)

    assert 'tollhouse_errors_total{event="work.failed"} 2.0' in ran.stdout
    for told in ("InternalError: A code was not read.", "caused by ValueError", " read"):
        assert told in ran.stderr
    assert "12x" not in ran.stderr
