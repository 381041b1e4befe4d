"""Measure the delay of callbacks to healthy endpoints: alone, beside hanging ones, and beside a merchant that attacks.

    python -m bench.callbacks [SECONDS]

Starts a PostgreSQL of its own, a server of endpoints in a process of its own, and the two loops of a worker in this
one. Prints for each situation the median and the slowest hundredth of the time from an event's creation to its
acknowledgement.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from importlib.resources import as_file, files
from pathlib import Path

import structlog

from tollhouse.kernel.urls import STAGE
from tollhouse.storage.database import Database
from tollhouse.storage.embedded import EmbeddedPostgres
from tollhouse.storage.migrate import migrate
from tollhouse.worker.events import deliver_events, number_events

SECONDS = 20.0
#: Healthy merchants, each with one endpoint and one event a second.
HEALTHY = 40
#: Merchants whose endpoints hang: 30 % of all.
HANGING = 17
ATTACKER = 1_000_000
SLOW_ORIGINS = 150
SLOW_SECONDS = 1.5
HANGING_ADDRESSES = 1_000
#: Events of each of the attacker's endpoints that are due when the measurement begins.
BACKLOG = 20

INSERT = """
insert into event (merchant_id, transaction_id, site_id, kind, status, url, body)
select merchant_id, (random() * 1e15)::bigint, 1, 'sale', 'success', url, '{}'
from unnest($1::bigint[], $2::text[]) as given (merchant_id, url)
"""
DELAYS = """
select
    extract(epoch from a.started_at + make_interval(secs => a.duration_ms / 1000.0) - e.created_at) * 1000 as delay_ms
from event e
join delivery_attempt a using (merchant_id, event_id)
where e.merchant_id <= $1 and a.error is null and e.created_at >= to_timestamp($2)
order by 1
"""
Load = Sequence[tuple[int, str]]


async def serve() -> None:
    """Serve endpoints on all addresses of this machine: `/ok` answers, `/slow` does so late, `/hang` never."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while header := await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(2)
                if b" /hang" in header:
                    await asyncio.sleep(3600)
                if b" /slow" in header:
                    await asyncio.sleep(SLOW_SECONDS)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(talk, "0.0.0.0", 0)  # noqa: S104 - addresses of this machine
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def measure(seconds: float = SECONDS) -> None:
    """Measure each situation on a database of its own, and print a table."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.callbacks", "serve", stdout=asyncio.subprocess.PIPE
    )
    try:
        port = int(await process.stdout.readline()) if process.stdout else 0
        attack = partial(_address, port)
        situations: dict[str, Load] = {
            "alone": (),
            "30 % of the endpoints hang": [(1 + HEALTHY + n, f"{_address(port, n)}/hang") for n in range(HANGING)],
            "one merchant, 150 slow origins": [(ATTACKER, f"{attack(n)}/slow") for n in range(SLOW_ORIGINS)] * BACKLOG,
            "one merchant, 1,000 hanging addresses": [(ATTACKER, f"{attack(n)}/hang") for n in range(HANGING_ADDRESSES)]
            * 2,
        }
        print("| healthy endpoints | events | median ms | p99 ms | p99, times alone |\n|---|---|---|---|---|")
        alone = 0.0
        for name, load in situations.items():
            delays = await _measure_one(port, load, seconds, repeats=name.startswith("30"))
            median, p99 = delays[len(delays) // 2], delays[len(delays) * 99 // 100]
            alone = alone or p99
            print(f"| {name} | {len(delays):,} | {median:.0f} | {p99:.0f} | {p99 / alone:.2f} |", flush=True)
    finally:
        process.terminate()
        await process.wait()


async def _measure_one(port: int, load: Load, seconds: float, *, repeats: bool) -> list[float]:
    """Return the delays of the healthy merchants in milliseconds, in order."""
    healthy = [(1 + n, f"http://127.0.0.1:{port}/ok") for n in range(HEALTHY)]
    async with _open_database() as database:
        merchants = sorted({merchant_id for merchant_id, _ in [*healthy, *load]})
        async with database.acquire() as connection:
            await connection.executemany(
                "insert into merchant (merchant_id, name, ipn_secret) values ($1, 'Shop', 'sealed')",
                [(merchant_id,) for merchant_id in merchants],
            )
        async with _work(database):
            await _insert(database, healthy)
            await asyncio.sleep(1)
            await _insert(database, load)
            await asyncio.sleep(2)
            begun = time.time()
            for number in range(round(seconds * len(healthy))):
                merchant = healthy[number % len(healthy)]
                extra = [load[number % len(load)]] if repeats else []
                await _insert(database, [merchant, *extra])
                await asyncio.sleep(max(0.0, begun + (number + 1) / len(healthy) - time.time()))
            await asyncio.sleep(2)
        async with database.acquire() as connection:
            return [float(row["delay_ms"]) for row in await connection.fetch(DELAYS, HEALTHY, begun)]


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
async def _open_database() -> AsyncIterator[Database]:
    with tempfile.TemporaryDirectory(prefix="tollhouse-bench-") as name:
        Path(name).chmod(0o711)  # noqa: ASYNC240 - nothing else goes on
        server = EmbeddedPostgres(Path(name) / "server")
        dsn = await server.start()
        try:
            with as_file(files("tollhouse.storage").joinpath("migrations")) as directory:
                await migrate(dsn, schema="gateway", directory=directory)
            database = await Database.connect(dsn, schema="gateway")
            yield database
            await database.close()
        finally:
            await server.stop()


def _address(port: int, number: int) -> str:
    return f"http://127.9.{number // 250}.{1 + number % 250}:{port}"


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    argument = sys.argv[1] if len(sys.argv) > 1 else ""
    asyncio.run(serve() if argument == "serve" else measure(float(argument or SECONDS)))
