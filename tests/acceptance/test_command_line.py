"""The command line: what it says of itself, and that every start that cannot succeed ends with one sentence."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.support.commands import run_tollhouse
from tests.support.processes import PROGRAM, build_environment

from tollhouse import __version__


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    return run_tollhouse(*arguments, environment=build_environment(COLUMNS="120", NO_COLOR="1") | environment)


def test_help_has_a_short_form_and_shows_defaults() -> None:
    """`-h` shows the usage under the program's name, and each default."""
    shown = run("serve", "-h").stdout
    assert "Usage: tollhouse serve" in shown
    for default in ("127.0.0.1", "8080", "1000 above the port"):
        assert f"({default})" in shown


@pytest.mark.parametrize("command", [PROGRAM, [str(Path(sys.executable).with_name("tollhouse"))]])
def test_the_program_starts_under_both_of_its_names(command: Sequence[str]) -> None:
    """`python -m tollhouse` and `tollhouse` are processes of their own; `--version` is the package's."""
    shown = subprocess.run(
        [*command, "--version"], env=build_environment(), capture_output=True, text=True, check=True, timeout=60
    )
    assert (shown.stdout, shown.stderr) == (f"tollhouse {__version__}\n", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_can_complete(shell: str) -> None:
    """There is a script for each of the usual shells."""
    told = run("--show-completion", shell)
    assert "_TOLLHOUSE_COMPLETE" in told.stdout or told.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "said"),
    [
        (["serve"], {"TOLLHOUSE_PROT": "1"}, 2, "TOLLHOUSE_PROT is not a setting. Did you mean TOLLHOUSE_PORT?"),
        (
            ["work"],
            {"TOLLHOUSE_METRICS_PORT": "1"},
            2,
            "TOLLHOUSE_METRICS_PORT is not a setting. Did you mean TOLLHOUSE_HEALTH_PORT?",
        ),
        (
            ["serve"],
            {"TOLLHOUSE_BASE_URL": "notaurl"},
            2,
            "TOLLHOUSE_BASE_URL: must be a URL such as https://pay.example, with nothing after its path.",
        ),
        (["serve", "--port", "99999"], {}, 2, "--port: input should be less than or equal to 65535."),
        (
            ["serve"],
            {"TOLLHOUSE_DATABASE_URL": "sqlite://secret"},
            2,
            "TOLLHOUSE_DATABASE_URL: must be a URL such as postgresql://user:password@host/database.",
        ),
        (
            ["dev"],
            {"TOLLHOUSE_ENVIRONMENT": "live"},
            1,
            "`tollhouse dev` is for stage only; live runs `tollhouse serve` and `tollhouse work`.",
        ),
        (
            ["dev"],
            {"TOLLHOUSE_ENVIRONMENT": "live", "TOLLHOUSE_ACQUIRER": "approving"},
            2,
            "TOLLHOUSE_ACQUIRER: `approving` approves everything and is for stage only.",
        ),
        (["simulate"], {"TOLLHOUSE_ENVIRONMENT": "live"}, 1, "The simulator is for stage only."),
        (
            ["serve", "--host", "192.0.2.1"],
            {},
            1,
            "192.0.2.1 is not an address of this machine; choose one that is, or 0.0.0.0 for all.",
        ),
        (["rates", "load", "/nowhere/rates.csv"], {}, 1, "/nowhere/rates.csv: No such file or directory."),
        (["dev", "--data-dir", "/proc/nowhere"], {}, 1, "/proc/nowhere: No such file or directory."),
        (["listen", "--forward-to", "nowhere"], {}, 1, None),
        (
            ["trigger", "--secret", "x", "--to", "nowhere"],
            {},
            1,
            "--to must be a URL such as http://127.0.0.1:3000/ipn.",
        ),
        (["trigger", "--data-dir", "/nowhere"], {}, 2, "--secret is missing. Give it, or start the demo first."),
    ],
)
def test_a_start_that_cannot_succeed_ends_with_a_sentence(
    arguments: list[str], environment: dict[str, str], code: int, said: str | None
) -> None:
    """What keeps a command from running is one line, without a traceback, and the exit code is not 0."""
    ended = run(*arguments, **environment)
    lines = ended.stderr.splitlines()
    assert (ended.returncode, len(lines), ended.stdout) == (code, 1, "")
    assert lines[0].startswith("tollhouse: ")
    assert said is None or lines[0] == f"tollhouse: {said}"
    assert "Errno" not in ended.stderr
    assert "secret" not in ended.stderr.replace("--secret", "")


def test_a_directory_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    """A data directory that is a file is told as such."""
    path = tmp_path / "file"
    path.write_text("")
    ended = run("dev", "--data-dir", str(path), "--port", "0")
    assert (ended.returncode, ended.stderr) == (1, f"tollhouse: {path}/postgres.lock: Not a directory.\n")


CRASH = """
import typer
from tollhouse.cli.command import run
from tollhouse.composition.settings import Settings

async def crash(cvv):
    return int(cvv)

try:
    run(crash("12x"), Settings(log_format="json"))
except typer.Exit as ended:
    raise SystemExit(ended.exit_code) from None
"""


def test_a_defect_shows_the_way_and_none_of_its_values() -> None:
    """A program that crashes logs where, without what was in its hands, and does not end with exit code 0."""
    ended = subprocess.run(
        [sys.executable, "-c", CRASH], env=build_environment(), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert '"event":"process.crashed"' in ended.stderr
    assert " crash" in ended.stderr
    assert "12x" not in ended.stderr
    assert "Traceback" not in ended.stderr
