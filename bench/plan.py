"""What is measured, in which order. Each section starts from a fresh data directory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg

from bench import callbacks
from bench.fixed_limits import FIRST_EDITION, LEAN, FixedLimit, open_limit, run_limit
from bench.gateway import (
    BenchFailed,
    Gateway,
    data_directory,
    dsn_of,
    run_gateway,
    serves_processes,
)
from bench.limit import read_sample, run_database, run_pgbench
from bench.load import Sink, run_payments, run_sink, run_wrk
from bench.machine import read_rss_mib, read_usage, wait_until_quiet
from bench.report import Figure, print_figure
from bench.rows import compact, print_rows, read_rows
from bench.source import measure_source, print_source
from bench.subscriptions import count_renewals, fill_subscriptions, live_ten_years, sign_up

LIMIT_CLIENTS = (16, 32, 64)
PAYMENT_CONNECTIONS = (1, 16, 64, 128)
TOKENIZE_CONNECTIONS = (16, 64)
#: The connections of the comparison with the limit, and of everything that is measured at one point only.
COMMON_CONNECTIONS = 64
PACE = 200.0
#: Long enough that the slowest hundredth is some forty payments.
PACED_FACTOR = 2.5
SERVE_PROCESSES = (1, 2)
WARM_UP_SECONDS = 4.0
#: PostgreSQL tells its counts of updates a second late.
STATISTICS_SECONDS = 2.5
REST_SECONDS = 10.0
ENDPOINTS = (1, 16)
BACKLOG = 150_000
#: Past this part of the requests what is measured is not what was meant.
MAX_ERRORS = 0.01

NOT_POSTED = "update site set ipn_format = 'none'"
#: Copies of one event, each a thread of its own, for as many addresses as there are endpoints; payments have higher ids
FILL_OUTBOX = """
with recorded as (
    insert into event (merchant_id, payment_id, transaction_id, site_id, kind, status, url, format, body, request_id)
    select merchant_id, n, n, site_id, kind, status,
        format('http://127.0.0.%s:{port}/ipn', 1 + n % {endpoints}), 'json', body, request_id
    from (select * from event order by transaction_id desc limit 1) as one, generate_series(1, {events}) as n
    returning position
)
insert into unnumbered_event select position from recorded
"""

#: Measured work: takes nothing, returns a figure's numbers.
Work = Callable[[], Awaitable[dict[str, Any]]]


@dataclass(slots=True)
class Bench:
    """One run: how long each figure takes, how long to wait for a quiet machine, and what has been found."""

    seconds: float
    timeout_seconds: float
    figures: list[Figure] = field(default_factory=list)
    memory: dict[str, float] = field(default_factory=dict)
    rows: dict[str, Any] = field(default_factory=dict)
    code: dict[str, Any] = field(default_factory=dict)

    @property
    def limit(self) -> float | None:
        """The best rate of pgbench in this run, if it was measured."""
        return self.best_of("limit")

    def best_of(self, section: str) -> float | None:
        """Return the best rate of a section, if it was measured in this run."""
        return max((figure.numbers["rate"] for figure in self.figures if figure.section == section), default=None)

    @property
    def payments(self) -> float | None:
        """The rate of payments with which renewals are compared, if it was measured in this run."""
        wanted = ("payment, IPNs not posted", f"{COMMON_CONNECTIONS} connections")
        rates = [figure.numbers["rate"] for figure in self.figures if (figure.section, figure.setting) == wanted]
        return max(rates, default=None)

    async def measure(
        self, section: str, setting: str, work: Work, *, gateway: Gateway | None = None, database: int | None = None
    ) -> None:
        """Take one figure on a machine that is as quiet as it gets, and note who used the processors meanwhile."""
        await wait_until_quiet(self.timeout_seconds)
        ids = (gateway.processes, gateway.database) if gateway else ((), database)
        finished, before = gateway.count_finished() if gateway else {}, read_usage(*ids)
        numbers = await work()
        usage = read_usage(*ids)
        numbers["processors"] = usage.since(before)
        numbers["gateway_us"], numbers["database_us"] = _share(numbers, usage.at - before.at)
        if gateway and "requests" in numbers and section != "tokenize":
            numbers["unapproved"] = _count_unapproved(gateway.count_finished(), finished)
        if self.limit and section.startswith(("payment", "simulator")):
            numbers["ratio"] = numbers["rate"] / self.limit
        for name, limit in (("of_lean", LEAN), ("of_first_edition", FIRST_EDITION)):
            best = self.best_of(limit.name)
            if best and section.startswith(("payment", "simulator")):
                numbers[name] = numbers["rate"] / best
        self.figures.append(Figure(section, setting, numbers))
        print_figure(self.figures[-1])
        if gateway and numbers.get("errors", 0) > MAX_ERRORS * numbers.get("requests", 0):
            raise BenchFailed(f"Too much went wrong for a figure. The gateway said:\n{gateway.read_complaints()}")


def _share(numbers: dict[str, Any], seconds: float) -> tuple[float, float]:
    """Return the microseconds of processor time that one request cost gateway and database."""
    used, count = numbers["processors"], numbers["rate"] * seconds
    return tuple(round(used[name] * seconds / max(count, 1) * 1e6) for name in ("gateway", "database"))


def _count_unapproved(now: dict[str, int], before: dict[str, int]) -> int:
    """Every card of the load approves, so anything else is wrong."""
    return sum(number - before.get(status, 0) for status, number in now.items() if status != "success")


@asynccontextmanager
async def running(*, acquirer: str, posted: bool) -> AsyncIterator[tuple[Gateway, Sink]]:
    """Run `tollhouse dev` on a fresh data directory, warmed up, and a listener to which it posts its IPNs or not."""
    async with data_directory() as directory, run_sink() as sink, run_gateway(directory, acquirer=acquirer) as gateway:
        if not posted:
            await gateway.execute(NOT_POSTED)
        await run_payments(gateway, sink, connections=16, seconds=WARM_UP_SECONDS)
        yield gateway, sink
        if sink.count() and not posted:
            raise BenchFailed("IPNs were posted although the site does not want them.")


@asynccontextmanager
async def left_behind(endpoints: int = 1) -> AsyncIterator[tuple[Path, Sink]]:
    """Lend a data directory in which a gateway made a few payments, and a listener; no process runs in it."""
    async with data_directory() as directory, run_sink(endpoints) as sink:
        async with run_gateway(directory, acquirer="approving") as gateway:
            await gateway.execute(NOT_POSTED)
            await run_payments(gateway, sink, connections=1, seconds=1)
        yield directory, sink


async def measure_limit(bench: Bench) -> None:
    """What the database does with the same rows: the scale for the payments."""
    async with left_behind() as (directory, _), run_database(directory) as (server, process):
        sample = await read_sample(server.dsn)
        await run_pgbench(server, sample, clients=16, seconds=WARM_UP_SECONDS, run=0)
        for run, clients in enumerate(LIMIT_CLIENTS, start=1):
            work = partial(run_pgbench, server, sample, clients=clients, seconds=bench.seconds, run=run)
            await bench.measure("limit", f"{clients} clients", work, database=process)


async def measure_lean(bench: Bench) -> None:
    """What the database does with the fewest rows that hold a payment: a scale that no schema of ours moves."""
    await _measure_fixed(bench, LEAN)


async def measure_first_edition(bench: Bench) -> None:
    """What the database does with the rows of the first edition, as they were frozen."""
    await _measure_fixed(bench, FIRST_EDITION)


async def _measure_fixed(bench: Bench, limit: FixedLimit) -> None:
    async with open_limit(limit) as (server, process):
        await run_limit(limit, server, clients=16, seconds=WARM_UP_SECONDS, run=0)
        for run, clients in enumerate(LIMIT_CLIENTS, start=1):
            work = partial(run_limit, limit, server, clients=clients, seconds=bench.seconds, run=run)
            await bench.measure(limit.name, f"{clients} clients", work, database=process)


async def measure_payment(bench: Bench) -> None:
    """`POST /payment` with the acquirer in process: events are numbered and not posted; then posted."""
    await _measure_payments(bench, "payment", acquirer="approving")


async def measure_serve(bench: Bench) -> None:
    """`tollhouse serve` without a worker, as one process and as two, beside the limits of the same run."""
    for processes in SERVE_PROCESSES:
        await _measure_serve(bench, processes)


async def measure_simulator(bench: Bench) -> None:
    """The same through the simulator, whose journal is durable: what `make run` starts."""
    await _measure_payments(bench, "simulator", acquirer="simulated")


async def _measure_payments(bench: Bench, section: str, *, acquirer: str) -> None:
    async with running(acquirer=acquirer, posted=False) as (gateway, sink):
        for connections in PAYMENT_CONNECTIONS:
            await _measure_load(bench, f"{section}, IPNs not posted", gateway, sink, connections)
    async with running(acquirer=acquirer, posted=True) as (gateway, sink):
        await _measure_load(bench, f"{section}, IPNs posted", gateway, sink, COMMON_CONNECTIONS)


async def _measure_serve(bench: Bench, processes: int) -> None:
    """A node whose events others number and post."""
    async with (
        left_behind() as (directory, sink),
        run_database(directory) as (server, process),
        _run_serves(directory, server.dsn, processes) as started,
    ):
        gateway = replace(started, database=process)
        await run_payments(gateway, sink, connections=16, seconds=WARM_UP_SECONDS)
        section = f"payment, {processes} serve"
        await _measure_load(bench, section, gateway, sink, COMMON_CONNECTIONS)


@asynccontextmanager
async def _run_serves(directory: Path, dsn: str, processes: int) -> AsyncIterator[Gateway]:
    """Run so many processes: by `--processes` on one port where the program has it, else each on a port of its own."""
    if processes > 1 and await serves_processes():
        options = ("--processes", str(processes))
        async with run_gateway(directory, acquirer="approving", database_url=dsn, options=options) as gateway:
            yield gateway
        return
    async with AsyncExitStack() as stack:
        gateways = [
            await stack.enter_async_context(run_gateway(directory, acquirer="approving", database_url=dsn))
            for _ in range(processes)
        ]
        yield replace(gateways[0], others=tuple(gateways[1:]))


async def measure_rows(bench: Bench) -> None:
    """What a payment leaves in tables and indexes, and how many of its updates stay on their page."""
    async with running(acquirer="approving", posted=False) as (gateway, sink):
        await run_payments(gateway, sink, connections=COMMON_CONNECTIONS, seconds=bench.seconds)
        await asyncio.sleep(STATISTICS_SECONDS)
        await compact(gateway.directory)
        before = await read_rows(gateway.directory)
        await run_payments(gateway, sink, connections=COMMON_CONNECTIONS, seconds=bench.seconds)
        await asyncio.sleep(STATISTICS_SECONDS)
        written = (await read_rows(gateway.directory)).since(before)
        await compact(gateway.directory)
        bench.rows = (await read_rows(gateway.directory)).since(before)
        bench.rows["written_a_payment"] = written["bytes_a_payment"]
    print_rows(bench.rows)


async def measure_code(bench: Bench) -> None:
    """The size of the program itself."""
    bench.code = measure_source()
    print_source(bench.code)


async def measure_tokenize(bench: Bench) -> None:
    """`POST /tokenize` as a browser sends it."""
    async with data_directory() as directory, run_gateway(directory, acquirer="simulated") as gateway:
        await run_wrk(gateway, "tokenize", connections=16, seconds=WARM_UP_SECONDS)
        for connections in TOKENIZE_CONNECTIONS:
            work = partial(run_wrk, gateway, "tokenize", connections=connections, seconds=bench.seconds)
            await bench.measure("tokenize", f"{connections} connections", work, gateway=gateway)


async def measure_paced(bench: Bench) -> None:
    """200 payments a second, come what may: by themselves, with their IPNs posted, and through the simulator too."""
    await _measure_paced(bench, "paced, IPNs not posted", acquirer="approving", posted=False)
    await _measure_paced(bench, "paced, IPNs posted", acquirer="approving", posted=True)
    await _measure_paced(bench, "paced, simulator, IPNs posted", acquirer="simulated", posted=True)


async def _measure_paced(bench: Bench, section: str, *, acquirer: str, posted: bool) -> None:
    async with running(acquirer=acquirer, posted=posted) as (gateway, sink):
        await asyncio.sleep(2.0)  # the warm-up's IPNs are on their way still
        seconds = PACED_FACTOR * bench.seconds
        work = partial(run_payments, gateway, sink, connections=COMMON_CONNECTIONS, seconds=seconds, rate=PACE)
        await bench.measure(section, f"{PACE:.0f} a second", work, gateway=gateway)


async def measure_ipn(bench: Bench) -> None:
    """How fast a backlog goes to one endpoint, and to many."""
    for endpoints in ENDPOINTS:
        async with left_behind(endpoints) as (directory, sink):
            async with run_database(directory):
                await _fill_outbox(directory, sink.port, endpoints)
            async with run_gateway(directory, acquirer="approving") as gateway:
                await asyncio.sleep(2.0)
                setting = f"{endpoints} endpoint{'s' * (endpoints > 1)}"
                await bench.measure("ipn, backlog", setting, partial(_count_deliveries, bench, sink), gateway=gateway)


async def _fill_outbox(directory: Path, port: int, endpoints: int) -> None:
    connection = await asyncpg.connect(dsn_of(directory), server_settings={"search_path": "gateway"})
    try:
        await connection.execute(FILL_OUTBOX.format(port=port, endpoints=endpoints, events=BACKLOG))
        await connection.execute("analyze")
    finally:
        await connection.close()


async def _count_deliveries(bench: Bench, sink: Sink) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    began, before = loop.time(), sink.count()
    await asyncio.sleep(bench.seconds)
    took, count = loop.time() - began, sink.count() - before
    if before + count >= BACKLOG:
        raise BenchFailed("The backlog was too small for this machine.")
    return {"rate": count / took}


async def measure_renewals(bench: Bench) -> None:
    """Subscriptions that are all due at once: the worker of `tollhouse dev` renews them, events are not posted."""
    for acquirer in ("approving", "simulated"):
        async with data_directory() as directory, run_sink() as sink:
            async with run_gateway(directory, acquirer=acquirer) as gateway:
                await gateway.execute(NOT_POSTED)
                await run_payments(gateway, sink, connections=16, seconds=WARM_UP_SECONDS)
                await sign_up(gateway, offset="30d")
            async with run_database(directory):
                await fill_subscriptions(directory)
            async with run_gateway(directory, acquirer=acquirer) as gateway:
                await asyncio.sleep(2.0)
                await bench.measure("renewals", acquirer, partial(_measure_renewals, bench, directory), gateway=gateway)


async def _measure_renewals(bench: Bench, directory: Path) -> dict[str, Any]:
    numbers = await count_renewals(directory, bench.seconds)
    if bench.payments:
        numbers["of_payments"] = numbers["rate"] / bench.payments
    return numbers


async def measure_clock(bench: Bench) -> None:
    """Ten years of a monthly plan in one call of `POST /stage/clock`, through the simulator, as `make run` has it."""
    async with data_directory() as directory, run_gateway(directory, acquirer="simulated") as gateway:
        await gateway.execute(NOT_POSTED)
        await sign_up(gateway, offset="1m")
        await bench.measure("clock, monthly plan", "ten years", partial(live_ten_years, gateway), gateway=gateway)


async def measure_memory(bench: Bench) -> None:
    """What the process of `make run` holds: after its start, at rest, and after a load."""
    async with (
        data_directory() as directory,
        run_sink() as sink,
        run_gateway(directory, acquirer="simulated") as gateway,
    ):
        bench.memory["started_mib"] = read_rss_mib(gateway.process)
        await asyncio.sleep(REST_SECONDS)
        bench.memory["at_rest_mib"] = read_rss_mib(gateway.process)
        await run_payments(gateway, sink, connections=COMMON_CONNECTIONS, seconds=bench.seconds)
        await asyncio.sleep(1.0)
        bench.memory["after_load_mib"] = read_rss_mib(gateway.process)


async def measure_callbacks(bench: Bench) -> None:
    """The delay of callbacks to healthy endpoints, alone and beside others; a table of its own."""
    await wait_until_quiet(bench.timeout_seconds)
    await callbacks.measure(bench.seconds)


SECTIONS: dict[str, Callable[[Bench], Awaitable[None]]] = {
    "limit": measure_limit,
    "lean": measure_lean,
    "first_edition": measure_first_edition,
    "payment": measure_payment,
    "serve": measure_serve,
    "rows": measure_rows,
    "code": measure_code,
    "simulator": measure_simulator,
    "tokenize": measure_tokenize,
    "paced": measure_paced,
    "ipn": measure_ipn,
    "callbacks": measure_callbacks,
    "renewals": measure_renewals,
    "clock": measure_clock,
    "memory": measure_memory,
}


async def _measure_load(bench: Bench, section: str, gateway: Gateway, sink: Sink, connections: int) -> None:
    async def work() -> dict[str, Any]:
        delivered = sink.count()
        numbers = await run_payments(gateway, sink, connections=connections, seconds=bench.seconds)
        numbers["delivered"] = (sink.count() - delivered) / bench.seconds
        return numbers

    await bench.measure(section, f"{connections} connection{'s' * (connections > 1)}", work, gateway=gateway)
