"""Examples in the documentation: fenced blocks of a page, and a shell that runs them as a reader does."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))

#: Languages of blocks that somebody copies and runs.
SHELL, PYTHON = ("sh", "console"), ("python", "py")
RUN_SECONDS = 120

BLOCK = re.compile(r"^(?P<indent> *)```(?P<kind>[a-z]*)\n(?P<body>.*?)^ *```$", re.MULTILINE | re.DOTALL)
#: Ends what one block has printed.
MARK = "----- end of block -----"


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its page, its language, and its content without the indent of the list that it may stand in."""

    page: str
    kind: str
    body: str

    @property
    def is_run(self) -> bool:
        """Whether readers run it."""
        return self.kind in SHELL + PYTHON

    @property
    def first_line(self) -> str:
        """The line that names it."""
        return self.body.partition("\n")[0]


def read_blocks(page: Path) -> list[Block]:
    """Return every block of a page in order."""
    name = str(page.relative_to(ROOT))
    found = BLOCK.finditer(page.read_text())
    return [Block(name, one["kind"], re.sub(f"^{one['indent']}", "", one["body"], flags=re.MULTILINE)) for one in found]


def run_shell(
    commands: Sequence[str], *, directory: Path, variables: Mapping[str, str] | None = None, shell: str = "bash"
) -> list[str]:
    """Run commands one after the other in one shell, as a reader types them, and return what each printed.

    The first one that fails ends the test.
    """
    script = f"\necho '{MARK}'\n".join([*commands, ""])
    ran = subprocess.run(
        [shell, "-euo", "pipefail", "-c", script],
        cwd=directory,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **(variables or {})},
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    printed = ran.stdout.split(f"{MARK}\n")[:-1]
    assert len(printed) == len(commands)
    return printed
