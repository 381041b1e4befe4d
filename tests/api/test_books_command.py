"""Commands beside a running gateway, and where there is none: `ledger verify`, `rates load` and `secret rotate`."""

from __future__ import annotations

import re
from pathlib import Path

import asyncpg
from tests.support.commands import run_tollhouse
from tests.support.gateways import RunningGateway
from tests.support.processes import build_environment

from tollhouse.storage.embedded import EmbeddedPostgres, running_dsn

ORPHAN = """
insert into gateway.ledger_entry values (999999, 1, 1, 'money.acquirers', 'money.merchants', 99999999999999, 'USD')
"""
REPAIR = """
alter table gateway.ledger_entry disable trigger ledger_entry_is_final;
delete from gateway.ledger_entry where merchant_id = 999999;
alter table gateway.ledger_entry enable trigger ledger_entry_is_final;
"""


def verify(data_directory: Path, **environment: str) -> tuple[int, str]:
    """Prove the books, and return the exit status and what was said."""
    return run("ledger", "verify", data_directory=data_directory, **environment)


def run(*arguments: str, data_directory: Path, **environment: str) -> tuple[int, str]:
    """Run a command on a data directory, and return its exit status and what it said."""
    options = ("--data-dir", str(data_directory))
    done = run_tollhouse(*arguments, *options, environment=build_environment(**environment))
    return done.returncode, done.stdout + done.stderr


async def test_the_command(running_gateway: RunningGateway) -> None:
    """It ends with 0 while the books hold, and with 1 and the name of each fault when they do not."""
    code, said = verify(running_gateway.data_directory)
    assert code == 0, said
    assert "No violations." in said
    connection = await asyncpg.connect(running_dsn(running_gateway.data_directory))
    try:
        await connection.execute(ORPHAN)
        code, said = verify(running_gateway.data_directory)
        assert code == 1
        assert "merchant 999999, transaction 1 has entries and does not exist" in said
        assert "1 violations." in said
        # In full, also where a log is narrower than the table: debits and credits of two accounts and their balances,
        # to which the shared gateway may have added something.
        assert len(re.findall(r"\d+(?:,\d{3}){3,}\.\d\d", said)) == 4
    finally:
        await connection.execute(REPAIR)
        await connection.close()


def test_secret_is_rotated_and_shown_once(running_gateway: RunningGateway) -> None:
    """The new secret alone is printed, once. A second rotation is refused until the first has ended or is canceled."""
    directory = running_gateway.data_directory
    done = run_tollhouse("secret", "rotate", "--data-dir", str(directory), environment=build_environment())
    try:
        assert done.returncode == 0, done.stderr
        assert re.fullmatch(r"ipn_[0-9a-f]{64}\n", done.stdout)
        assert done.stdout.strip() not in done.stderr
        code, said = run("secret", "status", data_directory=directory)
        assert (code, said.startswith("Two secrets are valid until ")) == (0, True)
        code, said = run("secret", "rotate", data_directory=directory)
        assert code == 1
        assert "is in progress" in said
    finally:
        code, said = run("secret", "cancel", data_directory=directory)
    assert code == 0
    assert said.startswith("Only the old secret is valid.\n")
    assert run("secret", "finish", data_directory=directory)[0] == 1
    assert run("secret", "rotate", "--merchant", "nobody", data_directory=directory)[0] == 1


def test_callbacks_are_sent_again_up_to_the_last_event(running_gateway: RunningGateway) -> None:
    """The command says how far it got, ends where no event is left, and refuses what is no endpoint."""
    directory = running_gateway.data_directory
    code, said = run("ipn", "resend", "--after", "1000000000000", data_directory=directory)
    assert code == 0, said
    assert said.endswith("0 callback(s) sent again.\n")
    code, said = run("ipn", "resend", "--endpoint", "http://127.0.0.1:1", data_directory=directory)
    assert code == 0, said
    assert said.endswith("0 callback(s) sent again.\n")
    code, said = run("ipn", "resend", "--endpoint", "shop", data_directory=directory)
    assert code == 2


def test_an_older_database(postgres: EmbeddedPostgres) -> None:
    """A database that was not brought up to date is said to be one."""
    code, said = verify(Path("/nowhere"), TOLLHOUSE_DATABASE_URL=postgres.dsn)
    assert code == 1
    assert "The database lacks migrations. Run `tollhouse migrate`" in said


def test_no_database(tmp_path: Path) -> None:
    """Where there is no database it says so, and makes none."""
    code, said = verify(tmp_path)
    assert code == 1
    assert "No database in " in said
    assert list(tmp_path.iterdir()) == []


def test_rates_are_loaded_into_a_running_gateway(running_gateway: RunningGateway, tmp_path: Path) -> None:
    """The embedded database of a gateway that runs takes new rates; those of an older day change no answer."""
    file = tmp_path / "old.csv"
    file.write_bytes(b"Date,USD,JPY\n2020-01-02,1.1193,121.75\n")
    code, said = run("rates", "load", str(file), data_directory=running_gateway.data_directory)
    assert (code, "1 day(s), 2 rates" in said) == (0, True), said
    code, said = run("rates", "load", str(file), data_directory=tmp_path / "nowhere")
    assert code == 1
    assert "No database in " in said
