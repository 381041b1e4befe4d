"""The embedded server: what it is, that only one owner has it, and that it ends with its owner and comes back whole."""

from __future__ import annotations

import asyncio
import ctypes
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from tollhouse.storage.embedded import (
    LOG_LIMIT_BYTES,
    EmbeddedFailed,
    EmbeddedInUse,
    EmbeddedMissing,
    EmbeddedPostgres,
    find_binaries,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

OWNER_PROGRAM = Path(__file__).parents[2] / "support" / "own_postgres.py"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to give up root")


@asynccontextmanager
async def running(data_directory: Path, *, durable: bool = False) -> AsyncIterator[EmbeddedPostgres]:
    """Run a server for the length of a block."""
    server = EmbeddedPostgres(data_directory, durable=durable)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@pytest.fixture(scope="module")
def made_cluster(session_directory: Path) -> Path:
    """A data directory with a stopped server in it, to be copied: making one takes half a second."""

    async def make() -> Path:
        async with running(session_directory / "made"):
            return session_directory / "made"

    return asyncio.run(make())


@pytest.fixture
def made_directory(data_directory: Path, made_cluster: Path) -> Path:
    """A data directory of a test's own, with a stopped server in it."""
    subprocess.run(["cp", "--archive", str(made_cluster), str(data_directory)], check=True)
    return data_directory


@pytest.fixture
def owner(made_directory: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Another process that owns a server in `made_directory`, and the server's DSN."""
    process = subprocess.Popen([sys.executable, str(OWNER_PROGRAM), str(made_directory)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    lines = (line.decode().strip() for line in process.stdout)
    yield process, next(line for line in lines if line.startswith("postgresql://"))
    process.kill()
    process.communicate()


async def ask(dsn: str, question: str) -> object:
    """Run one statement and return its first value."""
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


async def vanish(dsn: str, seconds: float) -> bool:
    """Say whether the server stops to answer in time."""
    give_up_at = time.monotonic() + seconds
    while time.monotonic() < give_up_at:
        try:
            await ask(dsn, "SELECT 1")
        except (FileNotFoundError, ConnectionRefusedError):
            return True
        except (asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError, asyncpg.InternalClientError):
            pass
        await asyncio.sleep(0.02)
    return False


def postmaster(data_directory: Path) -> int:
    """Return the process id of the server, as it noted it itself."""
    return int((data_directory / "postgres" / "postmaster.pid").read_text().split()[0])


async def test_a_first_start_makes_a_durable_server_for_unix_sockets_only(data_directory: Path) -> None:
    """A server of the default kind keeps what it acknowledged, speaks UTF-8, and cannot be reached over a network."""
    wanted = {
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "listen_addresses": "",
        "server_encoding": "UTF8",
        "TimeZone": "UTC",
    }

    async with running(data_directory, durable=True) as server:
        connection = await asyncpg.connect(server.dsn)
        found = {name: await connection.fetchval("SELECT current_setting($1)", name) for name in wanted}
        who = await connection.fetchrow("SELECT current_user::text, current_database()::text, 'é' < 'z', upper('é')")
        await connection.close()

    assert wanted == found
    assert who is not None
    assert tuple(who) == ("tollhouse_program", "tollhouse", False, "É")


async def test_only_tests_give_durability_away(postgres_dsn: str) -> None:
    """A server that was asked to forget does not wait for the disk."""
    assert await ask(postgres_dsn, "SHOW fsync") == "off"


async def test_committed_rows_survive_a_stop(made_directory: Path) -> None:
    """A stopped server starts again on the same rows, also from the same object, and quickly."""
    async with running(made_directory) as server:
        await ask(server.dsn, "CREATE TABLE kept AS SELECT 7 AS value")
        await server.stop()
        dsn = await server.start()

        assert await ask(dsn, "SELECT value FROM kept") == 7


async def test_a_first_start_that_was_cut_short_is_made_again(data_directory: Path) -> None:
    """A start given up half-way leaves nothing running, and what it made is never taken for a cluster."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(EmbeddedPostgres(data_directory, durable=False).start(), 0.2)
    half_made = data_directory / "postgres.new"
    was_half_made = half_made.exists()

    async with running(data_directory) as server:
        assert await ask(server.dsn, "SELECT 1") == 1

    assert was_half_made
    assert not half_made.exists()


async def test_a_second_owner_is_refused(owner: tuple[subprocess.Popen[bytes], str], made_directory: Path) -> None:
    """A start on a directory in use fails with the owner's process ID, and disturbs nothing."""
    process, dsn = owner

    with pytest.raises(EmbeddedInUse, match=rf"Another process \({process.pid}\) runs the database in .* DATA_DIR"):
        await EmbeddedPostgres(made_directory).start()

    assert await ask(dsn, "SELECT 1") == 1


async def test_a_second_start_of_the_same_object_is_refused(made_directory: Path) -> None:
    """Starting twice is an error that leaves the first start as it was."""
    async with running(made_directory) as server:
        with pytest.raises(EmbeddedInUse):
            await server.start()

        assert await ask(server.dsn, "SELECT 1") == 1


async def test_the_server_ends_with_a_killed_owner(owner: tuple[subprocess.Popen[bytes], str]) -> None:
    """SIGKILL to the owner takes the server down within a few seconds, although a client is connected."""
    process, dsn = owner
    client = await asyncpg.connect(dsn)

    process.kill()

    assert await vanish(dsn, 5)
    client.terminate()


async def test_a_start_right_after_a_kill_waits_for_the_old_server(
    owner: tuple[subprocess.Popen[bytes], str], made_directory: Path
) -> None:
    """A start while a killed owner's server is ending gets a server with every committed row."""
    process, dsn = owner
    await ask(dsn, "CREATE TABLE kept AS SELECT generate_series(1, 50000) AS value")
    pid = postmaster(made_directory)
    os.kill(pid, signal.SIGSTOP)
    process.kill()
    process.wait()

    server = EmbeddedPostgres(made_directory, durable=False)
    start = asyncio.create_task(server.start())
    await asyncio.sleep(0.3)
    waited = not start.done()
    os.kill(pid, signal.SIGCONT)

    assert await ask(await start, "SELECT count(*) FROM kept") == 50000
    assert waited
    await server.stop()


async def test_a_dead_server_is_noticed_and_recovers(made_directory: Path) -> None:
    """`wait` returns when the server dies underneath its owner, and the next start recovers what was committed."""
    async with running(made_directory, durable=True) as server:
        await ask(server.dsn, "CREATE TABLE kept AS SELECT 7 AS value")
        os.kill(postmaster(made_directory), signal.SIGKILL)

        assert await asyncio.wait_for(server.wait(), 5) == -signal.SIGKILL

    async with running(made_directory, durable=True) as server:
        assert await ask(server.dsn, "SELECT value FROM kept") == 7


async def test_a_stale_process_id_is_not_believed(made_directory: Path) -> None:
    """A postmaster.pid whose number now belongs to another program does not prevent a start."""
    async with running(made_directory) as server:
        os.kill(postmaster(made_directory), signal.SIGKILL)
        await server.wait()
    stale = made_directory / "postgres" / "postmaster.pid"
    # PostgreSQL believes the number of a process only where it may signal it.
    with subprocess.Popen(["sleep", "60"], user=stale.stat().st_uid if os.geteuid() == 0 else None) as stranger:
        stale.write_text("\n".join([str(stranger.pid), *stale.read_text().splitlines()[1:]]))
        try:
            async with running(made_directory) as server:
                assert await ask(server.dsn, "SELECT 1") == 1
        finally:
            stranger.kill()


async def test_a_server_that_somebody_started_by_hand_is_not_trampled(made_directory: Path) -> None:
    """A server that runs outside of our locks keeps its directory to itself: PostgreSQL's own interlock still holds."""
    async with running(made_directory) as server:
        binaries = server.binaries
    cluster = made_directory / "postgres"
    command = [str(binaries / "postgres"), "-D", str(cluster), "-k", str(cluster), "-c", "listen_addresses="]
    identity = cluster.stat().st_uid if os.geteuid() == 0 else None
    with subprocess.Popen(command, user=identity, cwd="/", stderr=subprocess.DEVNULL) as by_hand:
        while not (cluster / ".s.PGSQL.5432").exists():
            assert by_hand.poll() is None
            await asyncio.sleep(0.02)
        try:
            with pytest.raises(EmbeddedFailed, match="still in use"):
                await EmbeddedPostgres(made_directory, durable=False).start()
        finally:
            by_hand.send_signal(signal.SIGINT)


async def test_a_server_that_does_not_listen_is_stopped_all_the_same(made_directory: Path) -> None:
    """`stop` is bounded: it ends with SIGKILL, and the next start recovers."""
    async with running(made_directory) as server:
        os.kill(postmaster(made_directory), signal.SIGSTOP)
        began = time.monotonic()
        await server.stop()

        assert time.monotonic() - began < 6
        assert await asyncio.wait_for(server.wait(), 1) == -signal.SIGKILL

    async with running(made_directory) as server:
        assert await ask(server.dsn, "SELECT 1") == 1


@pytest.mark.parametrize("name", ["long" * 40, "a, b"], ids=["long", "comma"])
async def test_where_no_socket_can_be_made_a_short_private_directory_is(made_directory: Path, name: str) -> None:
    """A data directory whose path no socket or DSN can bear gets a private directory elsewhere, removed at the stop."""
    path = made_directory.rename(made_directory.with_name(f"{made_directory.name[:4]}{name}"))
    async with running(path) as server:
        directory = (path / "socket").readlink()

        assert await ask(server.dsn, "SELECT 1") == 1
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700

    assert not directory.exists()


async def test_a_short_directory_of_a_killed_run_is_removed(made_directory: Path, session_directory: Path) -> None:
    """Files of a killed run in the temporary directory are removed by the next start."""
    left = session_directory / "tollhouse-left"
    left.mkdir()
    (left / ".s.PGSQL.5432.lock").touch()
    (made_directory / "socket").symlink_to(left)

    async with running(made_directory):
        assert not left.exists()


async def test_a_failed_start_says_why(made_directory: Path) -> None:
    """The message of a failed start has the end of what PostgreSQL said, and of this start only."""
    async with running(made_directory):
        pass
    (made_directory / "postgres" / "PG_VERSION").write_text("17\n")

    with pytest.raises(EmbeddedFailed, match="initialized by PostgreSQL version 17") as caught:
        await EmbeddedPostgres(made_directory, durable=False).start()

    assert "shut down" not in str(caught.value)


async def test_a_large_log_is_put_aside(made_directory: Path) -> None:
    """The log is private and bounded: a large one makes room at a start."""
    with (made_directory / "postgres.log").open("wb") as log:
        log.truncate(LOG_LIMIT_BYTES + 1)

    async with running(made_directory):
        log_mode = stat.S_IMODE((made_directory / "postgres.log").stat().st_mode)

    assert (made_directory / "postgres.log.1").stat().st_size == LOG_LIMIT_BYTES + 1
    assert log_mode == 0o600


def test_a_terminal_s_ctrl_c_does_not_reach_the_server(postgres: EmbeddedPostgres, session_directory: Path) -> None:
    """The server has a session of its own, for its owner stops it last."""
    pid = postmaster(session_directory / "server")

    assert os.getsid(pid) == pid
    assert postgres.binaries == find_binaries()


def test_a_missing_wheel_is_named_with_what_to_do() -> None:
    """Without the binaries the message says what to install or what to set instead."""
    with pytest.raises(EmbeddedMissing, match=r"tollhouse\[embedded\].*TOLLHOUSE_DATABASE_URL"):
        find_binaries("no_such_wheel")


def test_pgbench_comes_with_the_binaries() -> None:
    """The benchmark finds its programs where the server's are."""
    assert shutil.which("pgbench", path=str(find_binaries())) is not None


@as_root
async def test_root_runs_the_server_as_nobody(data_directory: Path) -> None:
    """As root, the server and its files are nobody's, and no directory around them changed."""
    data_directory.mkdir(mode=0o755)
    before = data_directory.stat()
    nobody = pwd.getpwnam("nobody").pw_uid

    async with running(data_directory):
        status = Path(f"/proc/{postmaster(data_directory)}/status").read_text()
        cluster = (data_directory / "postgres").stat()
        socket_directory = (data_directory / "socket").stat()

    assert f"Uid:\t{nobody}\t{nobody}\t{nobody}\t{nobody}" in status
    assert "Groups:\t\n" in status.replace("Groups:\t \n", "Groups:\t\n")
    assert (nobody, 0o700) == (cluster.st_uid, stat.S_IMODE(cluster.st_mode))
    assert (nobody, 0o700) == (socket_directory.st_uid, stat.S_IMODE(socket_directory.st_mode))
    assert (before.st_uid, before.st_mode) == (data_directory.stat().st_uid, data_directory.stat().st_mode)


@pytest.fixture
def closed_directory(tmp_path: Path) -> Path:
    """A directory that only root may enter."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    tmp_path.chmod(0o711)
    return closed


def read_capabilities(process: int, kind: str) -> int:
    """Return a set of capabilities of a process."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{kind}:")).split()[1], 16)


@as_root
async def test_root_runs_a_server_where_only_root_may_enter(closed_directory: Path) -> None:
    """As root below a closed directory the server runs as nobody, passes by one capability, and opens nothing."""
    data_directory = closed_directory / "data"
    for _ in range(2):
        async with running(data_directory) as server:
            assert await ask(server.owner_dsn, "SELECT current_setting('data_directory')")
            process = postmaster(data_directory)
            nobody = pwd.getpwnam("nobody").pw_uid
            assert f"\nUid:\t{nobody}\t{nobody}" in Path(f"/proc/{process}/status").read_text()
            dac_override = 1 << 1
            assert [
                read_capabilities(process, kind) for kind in ("CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd")
            ] == [dac_override] * 5
    assert stat.S_IMODE(closed_directory.stat().st_mode) == 0o700


@as_root
async def test_a_server_that_can_reach_everything_keeps_no_capability(made_directory: Path) -> None:
    """Without unreachable directories no capability of root is kept."""
    async with running(made_directory):
        assert read_capabilities(postmaster(made_directory), "CapPrm") == 0


def give_up_passing() -> None:
    """Run what follows without the capability, as a container that dropped it."""
    drop_from_bounding_set, dac_override = 24, 1
    assert ctypes.CDLL(None).prctl(drop_from_bounding_set, dac_override, 0, 0, 0) == 0


@as_root
def test_a_directory_that_nobody_may_not_enter_is_named(closed_directory: Path) -> None:
    """Without the capability the start fails, naming the closed directory and what to do, and opens nothing."""
    way = next(
        w for w in [*reversed(closed_directory.parents), closed_directory] if not w.stat().st_mode & stat.S_IXOTH
    )
    ended = subprocess.run(
        [sys.executable, str(OWNER_PROGRAM), str(closed_directory / "data")],
        preexec_fn=give_up_passing,
        capture_output=True,
        text=True,
        check=False,
    )

    assert f"The user nobody may not enter {way}." in ended.stderr
    assert f"chmod o+x {way}" in ended.stderr
    assert stat.S_IMODE(closed_directory.stat().st_mode) == 0o700
