"""Migrations: in order, once, whole, and never against what was applied before."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

import tollhouse
from tollhouse.kernel.errors import DatabaseUnavailable
from tollhouse.storage.migrate import (
    DatabaseOfOtherEdition,
    LockPolicy,
    MigrationChanged,
    MigrationFailed,
    MigrationMisnamed,
    MigrationMisplaced,
    MigrationUnknown,
    migrate,
    pending,
)

SOURCE = Path(tollhouse.__file__).parent

FIRST = "CREATE TABLE step (name text PRIMARY KEY, made_by xid8 NOT NULL DEFAULT pg_current_xact_id());"
SECOND = "INSERT INTO step (name) VALUES ('second');"
THIRD = "INSERT INTO step (name) VALUES ('third');"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Three migrations that want to run in order."""
    (tmp_path / "0001_first.sql").write_text(FIRST)
    (tmp_path / "0002_second.sql").write_text(SECOND)
    (tmp_path / "0010_third.sql").write_text(THIRD)
    return tmp_path


async def ask(dsn: str, question: str) -> list[object]:
    """Run one statement and return the first value of each row."""
    connection = await asyncpg.connect(dsn)
    try:
        return [row[0] for row in await connection.fetch(question)]
    finally:
        await connection.close()


async def test_files_are_applied_in_order_once(empty_dsn: str, directory: Path) -> None:
    """The first run applies and names every file in order, the second none."""
    assert await migrate(empty_dsn, schema="ours", directory=directory) == ["0001_first", "0002_second", "0010_third"]
    assert await migrate(empty_dsn, schema="ours", directory=directory) == []
    assert await ask(empty_dsn, "SELECT name FROM ours.step ORDER BY made_by") == ["second", "third"]


async def test_each_file_has_a_transaction_of_its_own(empty_dsn: str, directory: Path) -> None:
    """Two files never share a transaction, so that what one holds locked is free before the next."""
    await migrate(empty_dsn, schema="ours", directory=directory)

    assert await ask(empty_dsn, "SELECT count(DISTINCT made_by) FROM ours.step") == [2]


async def test_applied_migration_is_recorded_with_its_digest(empty_dsn: str, directory: Path) -> None:
    """The record can be checked by hand with sha256."""
    await migrate(empty_dsn, schema="ours", directory=directory)
    digest = f"encode(sha256(convert_to($${SECOND}$$, 'UTF8')), 'hex')"

    assert await ask(empty_dsn, f"SELECT name FROM ours.migration WHERE digest = {digest}") == ["0002_second"]  # noqa: S608


async def test_pending_lists_and_changes_nothing(empty_dsn: str, directory: Path) -> None:
    """Pending migrations can be listed at any time, also without a schema, and nothing changes."""
    before = await pending(empty_dsn, schema="ours", directory=directory)
    schemas = await ask(empty_dsn, "SELECT nspname FROM pg_namespace WHERE nspname = 'ours'")
    await migrate(empty_dsn, schema="ours", directory=directory)
    (directory / "0011_fourth.sql").write_text("SELECT 1;")

    assert before == ["0001_first", "0002_second", "0010_third"]
    assert schemas == []
    assert await pending(empty_dsn, schema="ours", directory=directory) == ["0011_fourth"]


async def test_two_schemas_of_one_database_are_strangers(empty_dsn: str, directory: Path) -> None:
    """The schema is the only one in the search path, whatever its name, and has a record of its own."""
    await migrate(empty_dsn, schema="ours", directory=directory)
    await migrate(empty_dsn, schema='it\'s "theirs"', directory=directory)

    assert len(await ask(empty_dsn, "SELECT tablename FROM pg_tables WHERE tablename = 'step'")) == 2
    assert await ask(empty_dsn, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == []


async def test_many_at_once_all_succeed_and_apply_each_file_once(empty_dsn: str, directory: Path) -> None:
    """Concurrent migrations wait for each other, and each file is applied once."""
    (directory / "0002_second.sql").write_text(f"SELECT pg_sleep(0.1); {SECOND}")
    runs = [migrate(empty_dsn, schema="ours", directory=directory) for _ in range(6)]

    applied = await asyncio.gather(*runs)

    assert sorted(name for names in applied for name in names) == ["0001_first", "0002_second", "0010_third"]


async def test_a_changed_file_is_refused(empty_dsn: str, directory: Path) -> None:
    """A file that differs from what was applied stops everything before anything is applied."""
    await migrate(empty_dsn, schema="ours", directory=directory)
    (directory / "0002_second.sql").write_text(f"{SECOND} -- better")
    (directory / "0011_fourth.sql").write_text("INSERT INTO step (name) VALUES ('fourth');")

    with pytest.raises(MigrationChanged, match="0002_second was changed"):
        await migrate(empty_dsn, schema="ours", directory=directory)
    with pytest.raises(MigrationChanged):
        await pending(empty_dsn, schema="ours", directory=directory)

    assert await ask(empty_dsn, "SELECT name FROM ours.step WHERE name = 'fourth'") == []


async def test_a_newer_database_is_refused(empty_dsn: str, directory: Path) -> None:
    """A program that does not know what was applied says that it is older than the database."""
    await migrate(empty_dsn, schema="ours", directory=directory)
    (directory / "0010_third.sql").unlink()

    with pytest.raises(MigrationUnknown, match=r"newer than this program.* 0010_third"):
        await migrate(empty_dsn, schema="ours", directory=directory)


async def test_a_file_before_an_applied_one_is_refused(empty_dsn: str, directory: Path) -> None:
    """A file that came late, with a number already passed, would run in another order here than elsewhere."""
    await migrate(empty_dsn, schema="ours", directory=directory)
    (directory / "0003_late.sql").write_text("SELECT 1;")

    with pytest.raises(MigrationMisplaced, match="0003_late comes before 0010_third"):
        await migrate(empty_dsn, schema="ours", directory=directory)


@pytest.mark.parametrize(
    "name", ["0002_again.sql", "0010_again.list", "11_short.sql", "0011-dash.sql", "0011_Upper.sql"]
)
async def test_names_that_do_not_tell_the_order_are_refused(empty_dsn: str, directory: Path, name: str) -> None:
    """Two files with one number, or a name of another form, are refused before anything is applied."""
    (directory / name).write_text("SELECT 1;")

    with pytest.raises(MigrationMisnamed):
        await migrate(empty_dsn, schema="ours", directory=directory)

    assert await ask(empty_dsn, "SELECT nspname FROM pg_namespace WHERE nspname = 'ours'") == []


async def test_a_faulty_file_leaves_nothing_and_can_be_mended(empty_dsn: str, directory: Path) -> None:
    """Migrations before a faulty file stay, nothing of the file does, and a corrected one is applied."""
    (directory / "0002_second.sql").write_text(f"{SECOND} SELECT 1 / 0;")

    with pytest.raises(MigrationFailed, match=r"0002_second failed and was rolled back.* division by zero"):
        await migrate(empty_dsn, schema="ours", directory=directory)
    left = await ask(empty_dsn, "SELECT name FROM ours.step")
    (directory / "0002_second.sql").write_text(SECOND)

    assert left == []
    assert await migrate(empty_dsn, schema="ours", directory=directory) == ["0002_second", "0010_third"]


async def test_a_list_is_one_migration_of_its_parts_in_order(empty_dsn: str, directory: Path) -> None:
    """The files that a list names, and no other lines of it, run in its order and in one database transaction."""
    (directory / "parts").mkdir()
    (directory / "parts" / "b.sql").write_text("INSERT INTO step (name) VALUES ('b')")
    (directory / "parts" / "a.sql").write_text("; INSERT INTO step (name) SELECT 'after ' || name FROM step;")
    (directory / "0011_parts.list").write_text("# In this order.\n\nparts/b.sql\nparts/a.sql\n")

    assert (await migrate(empty_dsn, schema="ours", directory=directory))[-1] == "0011_parts"

    last = "SELECT name FROM ours.step WHERE made_by = (SELECT made_by FROM ours.step WHERE name = 'b')"
    assert set(await ask(empty_dsn, last)) == {"b", "after b", "after second", "after third"}


async def test_a_changed_part_is_refused(empty_dsn: str, directory: Path) -> None:
    """A part of a list is part of the migration's digest: a function that databases have never changes silently."""
    (directory / "0011_parts.list").write_text("part.txt\n")
    (directory / "part.txt").write_text("SELECT 1;")
    await migrate(empty_dsn, schema="ours", directory=directory)
    (directory / "part.txt").write_text("SELECT 2;")

    with pytest.raises(MigrationChanged, match="0011_parts was changed"):
        await pending(empty_dsn, schema="ours", directory=directory)


@pytest.mark.parametrize("old", [{"0001_merchants"}, {"0001_merchants", "0002_payments"}, {"0007_moves"}])
async def test_a_database_of_the_first_edition_is_refused(empty_dsn: str, directory: Path, old: set[str]) -> None:
    """A database without this edition's first migration is left as it is, and the error says what to do."""
    earlier = directory / "earlier"
    earlier.mkdir()
    for name in old:
        (earlier / f"{name}.sql").write_text(f"CREATE TABLE a{name} ();")
    await migrate(empty_dsn, schema="ours", directory=earlier)

    for attempt in (migrate, pending):
        with pytest.raises(DatabaseOfOtherEdition, match=r"first edition .* Use an empty database"):
            await attempt(empty_dsn, schema="ours", directory=directory)
    assert set(await ask(empty_dsn, "SELECT name FROM ours.migration")) == old


async def test_a_locked_table_is_tried_again(empty_dsn: str, directory: Path) -> None:
    """A migration stops waiting for a lock, so that others proceed, and succeeds when the lock is free."""
    await migrate(empty_dsn, schema="ours", directory=directory)
    (directory / "0011_fourth.sql").write_text("ALTER TABLE step ADD note text;")
    locks = LockPolicy(timeout_seconds=0.05, interval_seconds=0.01, max_attempts=10_000)
    holder, reader = await asyncpg.connect(empty_dsn), await asyncpg.connect(empty_dsn)
    try:
        async with holder.transaction():
            await holder.execute("LOCK TABLE ours.step IN ACCESS SHARE MODE")
            running = asyncio.create_task(migrate(empty_dsn, schema="ours", directory=directory, locks=locks))
            waiting = "SELECT count(*) FROM pg_locks WHERE relation = 'ours.step'::regclass AND NOT granted"
            while not await reader.fetchval(waiting):  # noqa: ASYNC110 - the server has no event for it
                await asyncio.sleep(0.005)
            # Waits behind the migration until that has given up.
            assert await reader.fetchval("SELECT count(*) FROM ours.step") == 2
            assert not running.done()
        assert await running == ["0011_fourth"]
    finally:
        await holder.close()
        await reader.close()


async def test_a_table_that_stays_locked_fails_the_migration(empty_dsn: str, directory: Path) -> None:
    """The number of attempts is bounded; nothing of the migration is left, and the message says what to do."""
    await migrate(empty_dsn, schema="ours", directory=directory)
    (directory / "0011_fourth.sql").write_text("CREATE TABLE other (); ALTER TABLE step ADD note text;")
    locks = LockPolicy(timeout_seconds=0.01, interval_seconds=0, max_attempts=3)
    holder = await asyncpg.connect(empty_dsn)
    try:
        async with holder.transaction():
            await holder.execute("LOCK TABLE ours.step IN ACCESS SHARE MODE")
            with pytest.raises(MigrationFailed, match=r"locked\. Run the command again"):
                await migrate(empty_dsn, schema="ours", directory=directory, locks=locks)
    finally:
        await holder.close()
    assert await ask(empty_dsn, "SELECT to_regclass('ours.other')") == [None]


async def test_a_database_that_is_away_is_named_so(tmp_path: Path, directory: Path) -> None:
    """Without a server, the error is the one that everything else here raises too."""
    with pytest.raises(DatabaseUnavailable):
        await migrate(f"postgresql://x@/x?host={tmp_path}&port=5432", schema="ours", directory=directory)


@pytest.mark.parametrize(("schema", "package"), [("gateway", "storage"), ("simulator", "simulator")])
async def test_the_template_of_the_tests_is_up_to_date(database_dsn: str, schema: str, package: str) -> None:
    """Tests run on what the real migrations make, all of them."""
    assert await pending(database_dsn, schema=schema, directory=SOURCE / package / "migrations") == []
