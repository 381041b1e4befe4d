"""Why a process did not start, told to whoever started it."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from tests.support.commands import run_tollhouse
from tests.support.processes import SOURCE, build_node_environment, find_free_port


def start(command: str, dsn: str, directory: Path, *, without: str = "") -> str:
    """Start a process that has to end by itself with 1, and return what it said."""
    own = build_node_environment(dsn, directory, PATH="", TOLLHOUSE_PORT=str(find_free_port()))
    del own["TOLLHOUSE_LOG_FORMAT"]
    own.pop(without, None)
    ended = run_tollhouse(command, environment=own)
    assert (ended.returncode, ended.stdout) == (1, "")
    return ended.stderr


@pytest.mark.parametrize("command", ["serve", "simulate"])
def test_a_database_without_tables_is_told_in_a_line(command: str, empty_dsn: str, tmp_path: Path) -> None:
    """A process on a database that nobody migrated ends with the command that was forgotten."""
    told = start(command, empty_dsn, tmp_path)
    assert told == "tollhouse: The database lacks migrations. Run `tollhouse migrate`, then start again.\n"


@pytest.mark.parametrize("command", ["serve", "work", "simulate", "migrate", "dev", "restored"])
def test_a_database_of_the_first_edition_is_told_in_a_line(command: str, empty_dsn: str, tmp_path: Path) -> None:
    """Every process and command refuses a database that the first edition made, and says to use an empty one."""
    asyncio.run(apply_first_edition(empty_dsn))
    told = start(command, empty_dsn, tmp_path)
    assert told.startswith("tollhouse: The database was made by the first edition of Tollhouse")
    assert told.endswith(
        "Use an empty database: name one in TOLLHOUSE_DATABASE_URL, or an empty directory in TOLLHOUSE_DATA_DIR.\n"
    )
    assert told.count("\n") == 1


async def apply_first_edition(dsn: str) -> None:
    """Record first migrations by their names in the first edition, as that did."""
    connection = await asyncpg.connect(dsn)
    try:
        for schema, name in (("gateway", "0001_merchants"), ("simulator", "0001_simulator")):
            await connection.execute(f"create schema {schema}")
            await connection.execute(f"create table {schema}.migration (name text primary key, digest text not null)")
            await connection.execute(f"insert into {schema}.migration values ($1, '')", name)  # noqa: S608 - ours
    finally:
        await connection.close()


@pytest.mark.parametrize("command", ["serve", "work", "simulate"])
def test_a_bank_without_a_secret_is_told_in_a_line(command: str, empty_dsn: str, tmp_path: Path) -> None:
    """Where simulator and gateway share no secret neither begins: anybody could pay and read there."""
    told = start(command, empty_dsn, tmp_path, without="TOLLHOUSE_SIMULATOR_SECRET")
    assert told.startswith("tollhouse: Set TOLLHOUSE_SIMULATOR_SECRET, the same for")
    assert told.count("\n") == 1


def test_a_database_that_is_away_is_told_in_a_line(tmp_path: Path) -> None:
    """Where nobody answers, the line says so with the driver's reason; what is meant for API clients is not in it."""
    told = start("migrate", f"postgresql://tollhouse:secret@127.0.0.1:{find_free_port()}/x", tmp_path)
    assert told.startswith("tollhouse: The database cannot be reached: ")
    assert "Connection refused" in told
    assert (told.count("\n"), "secret" in told, "X-Request-ID" in told) == (1, False, False)


def test_a_database_that_refuses_is_told_in_a_line(empty_dsn: str, tmp_path: Path) -> None:
    """A wrong user or name of a database is what the server says it is."""
    for told, dsn in (
        ('database "nowhere" does not exist', urlunsplit(urlsplit(empty_dsn)._replace(path="/nowhere"))),
        ('role "nobody" does not exist', empty_dsn.replace("tollhouse@", "nobody@")),
    ):
        assert start("migrate", dsn, tmp_path) == f"tollhouse: The database refuses the connection: {told}\n"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, '--host "127.0.0.1" --port "8080" --data-dir ".tollhouse"'),
        ({"TOLLHOUSE_PORT": "9090", "TOLLHOUSE_DATA_DIR": "/x"}, '--host "127.0.0.1" --port "9090" --data-dir "/x"'),
        ({"TOLLHOUSE_PORT": "9090", "PORT": "9091"}, '--host "127.0.0.1" --port "9091" --data-dir ".tollhouse"'),
    ],
)
def test_make_run_takes_the_settings_too(variables: dict[str, str], expected: str) -> None:
    """`make run` hands on what is set under the names that the messages and the page of settings tell."""
    make = shutil.which("make")
    assert make
    given = {"PATH": os.environ["PATH"], **variables}
    told = subprocess.run(
        [make, "--dry-run", "run"], cwd=SOURCE.parent, env=given, capture_output=True, text=True, check=True
    )
    assert told.stdout.splitlines()[-1].endswith(f" -m tollhouse dev {expected}")
