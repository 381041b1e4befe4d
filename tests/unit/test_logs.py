"""The finished line of the log, in both of its forms."""

from __future__ import annotations

import subprocess
import sys

import pytest

NUMBER = "4024007179366348"
SAY = f"""
import structlog
from tollhouse.logs import configure_logs
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
