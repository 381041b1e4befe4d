"""The tutorial, block by block, against a gateway as a newcomer starts it."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.gateways import RunningGateway

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGES = sorted((Path(__file__).parents[2] / "docs/tutorial").glob("*.md"))
#: A command of the shell, and what the page says that it prints.
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```", re.MULTILINE | re.DOTALL)
#: Ends what one block has printed.
MARK = "----- end of block -----"


@pytest.fixture
def newcomer(session_directory: Path) -> Iterator[RunningGateway]:
    """A gateway of its own: the tutorial moves the clock of its merchant."""
    directory = session_directory / "newcomer"
    directory.mkdir()
    directory.chmod(0o711)
    gateway = RunningGateway(directory / ".tollhouse")
    gateway.start()
    yield gateway
    gateway.close()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_tutorial_does_what_it_says(newcomer: RunningGateway, page: Path) -> None:
    """Every block of a tutorial runs as it stands, and prints what the page says."""
    blocks = BLOCK.findall(page.read_text())
    commands = [body for kind, body in blocks if kind == "sh"]
    script = f"\necho '{MARK}'\n".join(commands)
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=newcomer.data_directory.parent,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    printed = ran.stdout.split(f"{MARK}\n")
    assert len(printed) == len(commands)
    assert list(zip(commands, printed, strict=True)) == list(zip(commands, expected(blocks), strict=True))


def expected(blocks: list[tuple[str, str]]) -> list[str]:
    """Return what each command is said to print; nothing where the page shows nothing."""
    said: list[str] = []
    for kind, body in blocks:
        if kind == "sh":
            said.append("")
        else:
            said[-1] = body
    return said
