"""Measure the delay of callbacks to healthy endpoints: alone, beside hanging ones, and beside a merchant that attacks.

    python -m bench.callbacks [SECONDS [ROUNDS]]

Starts a PostgreSQL of its own, a server of endpoints in a process of its own, and the two loops of a worker in this
one. The situations alternate: each round measures all of them for SECONDS, each on a fresh database. Prints for each
the median and the slowest hundredth of the time from an event's creation to its acknowledgement, as medians of the
rounds.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.resources import as_file, files
from pathlib import Path
from statistics import median
from typing import cast

import asyncpg
import structlog
import uvloop

from bench.machine import find_child, read_usage
from tollhouse.kernel.urls import STAGE
from tollhouse.storage.database import Database
from tollhouse.storage.embedded import EmbeddedPostgres
from tollhouse.storage.embedded_commands import DATABASE, PROGRAM_ROLE
from tollhouse.storage.migrate import migrate
from tollhouse.worker.events import deliver_events, number_events

SECONDS = 12.0
ROUNDS = 3
#: Before a measurement: endpoints become known and are slow or hang, and statements are planned.
WARM_UP_SECONDS = 4.0
REST_SECONDS = 1.0
#: Healthy merchants, each with one endpoint.
HEALTHY = 40
#: Merchants whose endpoints hang: 30 % of all. They have as many events as the healthy ones.
HANGING = 17
#: Of each endpoint. The slowest hundredth of a measurement is some twenty callbacks.
EVENTS_PER_SECOND = 5.0
ATTACKER = 1_000_000
SLOW_ORIGINS = 150
SLOW_SECONDS = 1.5
HANGING_ADDRESSES = 1_000
#: Events of each of the attacker's endpoints that are due when the measurement begins.
BACKLOG = 20
BACKLOG_OF_HANGING = 2

#: The database of one measurement.
COPY = "measured"

ACKNOWLEDGED = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

INSERT = """
with recorded as (
    insert into event (merchant_id, transaction_id, site_id, kind, status, url, body)
    select merchant_id, (random() * 1e15)::bigint, 1, 'sale', 'success', url, '{}'
    from unnest($1::bigint[], $2::text[]) as given (merchant_id, url)
    returning position
)
insert into unnumbered_event select position from recorded
"""
DELAYS = """
select
    extract(epoch from a.started_at + make_interval(secs => a.duration_ms / 1000.0) - e.created_at) * 1000 as delay_ms
from numbered_event e
join delivery_attempt a using (merchant_id, event_id)
where e.merchant_id <= $1 and a.error is null and e.created_at between to_timestamp($2) and to_timestamp($3)
order by 1
"""
Load = Sequence[tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Situation:
    """A load beside the healthy endpoints: a backlog, and endpoints that get events as the healthy ones do."""

    name: str
    backlog: Load = ()
    beside: Load = ()


@dataclass(frozen=True, slots=True)
class Found:
    """The delays of one measurement in milliseconds, in order, and the processors that worker and database used."""

    delays: Sequence[float]
    worker: float
    database: float

    @property
    def middle(self) -> float:
        """The median delay."""
        return self.delays[len(self.delays) // 2]

    @property
    def p99(self) -> float:
        """The delay that one callback in a hundred exceeds."""
        return self.delays[len(self.delays) * 99 // 100]


class Endpoint(asyncio.Protocol):
    """One connection to an endpoint: `/ok` answers, `/slow` does so late, `/hang` never."""

    def __init__(self) -> None:
        self._received = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer a request, a header with two bytes of body, when it is complete."""
        self._received += data
        header, found, body = self._received.partition(b"\r\n\r\n")
        if not found or len(body) < len(b"{}"):
            return
        self._received = b""
        if b" /ok" in header:
            self._answer()
        elif b" /slow" in header:
            asyncio.get_running_loop().call_later(SLOW_SECONDS, self._answer)

    def _answer(self) -> None:
        if self._transport is not None:
            self._transport.write(ACKNOWLEDGED)


async def serve() -> None:
    """Serve endpoints on all addresses of this machine."""
    server = await asyncio.get_running_loop().create_server(Endpoint, "0.0.0.0", 0, backlog=4096)  # noqa: S104 - addresses of this machine
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def measure(seconds: float = SECONDS, rounds: int = ROUNDS) -> None:
    """Measure each situation in each round, and print a table."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.callbacks", "serve", stdout=asyncio.subprocess.PIPE
    )
    try:
        port = int(await process.stdout.readline()) if process.stdout else 0
        situations = _name_situations(port)
        found: list[list[Found]] = [[] for _ in situations]
        async with _open_server() as server:
            for _ in range(rounds):
                for situation, measured in zip(situations, found, strict=True):
                    measured.append(await _measure_one(server, port, situation, seconds))
        _print_table(situations, found)
    finally:
        process.terminate()
        await process.wait()


def _name_situations(port: int) -> Sequence[Situation]:
    attack = [(ATTACKER, _address(port, n)) for n in range(HANGING_ADDRESSES)]
    return (
        Situation("alone"),
        Situation(
            "30 % of the endpoints hang",
            beside=[(1 + HEALTHY + n, f"{_address(port, n)}/hang") for n in range(HANGING)],
        ),
        Situation(
            "one merchant, 150 slow origins",
            [(merchant, f"{url}/slow") for merchant, url in attack[:SLOW_ORIGINS]] * BACKLOG,
        ),
        Situation(
            "one merchant, 1,000 hanging addresses",
            [(merchant, f"{url}/hang") for merchant, url in attack] * BACKLOG_OF_HANGING,
        ),
    )


def _print_table(situations: Sequence[Situation], found: Sequence[Sequence[Found]]) -> None:
    print("| healthy endpoints | events | median ms | p99 ms | p99, times alone | worker | database |")
    print("|---|---|---|---|---|---|---|")
    alone = median(one.p99 for one in found[0])
    for situation, measured in zip(situations, found, strict=True):
        p99s = sorted(one.p99 for one in measured)
        print(
            f"| {situation.name} | {sum(len(one.delays) for one in measured):,}"
            f" | {median(one.middle for one in measured):.0f}"
            f" | {median(p99s):.0f} ({p99s[0]:.0f} to {p99s[-1]:.0f}) | {median(p99s) / alone:.2f}"
            f" | {median(one.worker for one in measured):.2f} | {median(one.database for one in measured):.2f} |",
            flush=True,
        )


async def _measure_one(server: EmbeddedPostgres, port: int, situation: Situation, seconds: float) -> Found:
    """Measure the delays of the healthy merchants in one situation."""
    healthy = [(1 + n, f"http://127.0.0.1:{port}/ok") for n in range(HEALTHY)]
    beat = [*healthy, *situation.beside]
    async with _open_database(server) as database:
        merchants = sorted({merchant_id for merchant_id, _ in [*beat, *situation.backlog]})
        async with database.acquire() as connection:
            await connection.executemany(
                "insert into merchant (merchant_id, name, ipn_secret) values ($1, 'Shop', 'sealed')",
                [(merchant_id,) for merchant_id in merchants],
            )
        async with _work(database):
            await _insert(database, situation.backlog)
            await _feed(database, beat, WARM_UP_SECONDS)
            process = find_child(os.getpid(), "postgres")
            begun, before = time.time(), read_usage([os.getpid()], process)
            await _feed(database, beat, seconds)
            ended, usage = time.time(), read_usage([os.getpid()], process).since(before)
            await asyncio.sleep(REST_SECONDS)
        async with database.acquire() as connection:
            rows = await connection.fetch(DELAYS, HEALTHY, begun, ended)
            return Found([float(row["delay_ms"]) for row in rows], usage["gateway"], usage["database"])


async def _feed(database: Database, load: Load, seconds: float) -> None:
    """Insert events for these endpoints in turn, each by itself, at an even pace."""
    begun, pause = time.monotonic(), 1 / (EVENTS_PER_SECOND * len(load))
    for number in range(round(seconds / pause)):
        await asyncio.sleep(max(0.0, begun + number * pause - time.monotonic()))
        await _insert(database, [load[number % len(load)]])


async def _insert(database: Database, load: Load) -> None:
    if load:
        async with database.acquire() as connection:
            await connection.execute(INSERT, [merchant_id for merchant_id, _ in load], [url for _, url in load])


@asynccontextmanager
async def _work(database: Database) -> AsyncIterator[None]:
    """Run the loops of a worker."""
    stop, numbered, wake = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def secrets_of(_merchant_id: int) -> Sequence[str]:
        return ["secret"]

    loops: list[Callable[[], Awaitable[None]]] = [
        partial(number_events, database, stop=stop, wake=wake, numbered=numbered),
        partial(deliver_events, database, secrets_of=secrets_of, policy=STAGE, stop=stop, wake=numbered),
    ]
    tasks = [asyncio.ensure_future(loop()) for loop in loops]
    try:
        yield
    finally:
        stop.set()
        wake.set()
        numbered.set()
        await asyncio.gather(*tasks)


@asynccontextmanager
async def _open_server() -> AsyncIterator[EmbeddedPostgres]:
    """Run a PostgreSQL with one empty migrated database, from which others are copied."""
    with tempfile.TemporaryDirectory(prefix="tollhouse-bench-") as name:
        Path(name).chmod(0o711)  # noqa: ASYNC240 - nothing else goes on
        server = EmbeddedPostgres(Path(name) / "server")
        dsn = await server.start()
        try:
            with as_file(files("tollhouse.storage").joinpath("migrations")) as directory:
                await migrate(dsn, schema="gateway", directory=directory)
            yield server
        finally:
            await server.stop()


@asynccontextmanager
async def _open_database(server: EmbeddedPostgres) -> AsyncIterator[Database]:
    """Open a fresh copy of the database, dropped afterwards."""
    owner = server.owner_dsn.replace(f"/{DATABASE}?", "/postgres?")
    await _execute(owner, f"create database {COPY} template {DATABASE} owner {PROGRAM_ROLE}")
    database = await Database.connect(server.dsn.replace(f"/{DATABASE}?", f"/{COPY}?"), schema="gateway")
    try:
        yield database
    finally:
        await database.close()
        await _execute(owner, f"drop database {COPY} with (force)")


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _address(port: int, number: int) -> str:
    return f"http://127.9.{number // 250}.{1 + number % 250}:{port}"


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    if sys.argv[1:] == ["serve"]:
        uvloop.run(serve())
    else:
        given = [*sys.argv[1:], *map(str, (SECONDS, ROUNDS)[len(sys.argv) - 1 :])]
        uvloop.run(measure(float(given[0]), int(given[1])))
