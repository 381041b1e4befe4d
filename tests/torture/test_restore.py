"""Yesterday's database beside a bank that went on: dumped and restored, with real processes."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.support.commands import run_tollhouse
from tests.support.gateways import RunningGateway, request
from tests.support.processes import (
    START_SECONDS,
    Node,
    build_node,
    build_node_environment,
    run_nodes,
)

from tollhouse.storage.embedded import find_binaries

APPROVES = "4024007179366348"
NO_FUNDS = "4000000050510009"
PAYMENTS = 3


class Site:
    """A gateway's database and a bank's in one server, and the processes on them, each of its own."""

    def __init__(self, dsn: str, directory: Path) -> None:
        self._dsn = dsn
        self._directory = directory
        self._addresses: dict[str, str] = {}
        self.bank = self._build("bank", "simulate")
        self._addresses["TOLLHOUSE_SIMULATOR_URL"] = self.bank.url
        self.serve = self._build("shop", "serve", TOLLHOUSE_DRAIN_SECONDS="0")
        self._addresses["TOLLHOUSE_BASE_URL"] = self.serve.url
        self.work = self._build("shop", "work")

    def dsn_of(self, database: str) -> str:
        """Name one of the server's databases."""
        return self._dsn.replace("/tollhouse?", f"/{database}?", 1)

    def run(self, database: str, *arguments: str) -> str:
        """Run a command of the program to its end, and return what it printed."""
        done = run_tollhouse(*arguments, environment=build_node_environment(self.dsn_of(database), self._directory))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def use(self, program: str, *arguments: str, script: str | None = None) -> str:
        """Run a program of PostgreSQL to its end."""
        command = [str(find_binaries() / program), *arguments]
        done = subprocess.run(
            command, env={"PATH": os.defpath}, input=script, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def gateway(self) -> AbstractContextManager[None]:
        """Run the API and a worker on the gateway's database."""
        return run_nodes(self.serve, self.work)

    def _build(self, database: str, command: str, **own: str) -> Node:
        environment = build_node_environment(self.dsn_of(database), self._directory, **self._addresses, **own)
        return build_node(command, environment, self._directory / f"{command}.log")


@pytest.mark.slow
def test_no_approval_from_before_a_restore_comes_back(data_directory: Path) -> None:
    """A payment with an empty card after a restore is declined, although the bank knows the forgotten payments.

    Nor does any order, transaction or event id come again, and after `tollhouse restored` no event number either.
    """
    demo = RunningGateway(data_directory)
    with ExitStack() as stack:
        stack.callback(demo.close)
        demo.start()
        site = Site(_dsn_of(data_directory), data_directory)
        _copy_to_own_databases(site)
        stack.enter_context(run_nodes(site.bank))
        with site.gateway():
            old = [pay(site, demo.demo, APPROVES)]
            dump = str(data_directory / "yesterday.dump")
            site.use("pg_dump", "--format=custom", f"--file={dump}", f"--dbname={site.dsn_of('shop')}")
        with site.gateway():  # new processes, which reserve ids of their own
            old += [pay(site, demo.demo, APPROVES) for _ in range(PAYMENTS)]
            seen = read_events(site, demo.demo, count=1 + PAYMENTS)
        site.use("dropdb", f"--maintenance-db={site.dsn_of('postgres')}", "shop")
        site.use("createdb", f"--maintenance-db={site.dsn_of('postgres')}", "shop")
        site.use("pg_restore", "--exit-on-error", f"--dbname={site.dsn_of('shop')}", dump)
        with site.gateway():
            new = [pay(site, demo.demo, NO_FUNDS) for _ in range(PAYMENTS)]
            again = read_events(site, demo.demo, count=1 + PAYMENTS)[1:]
        assert "1,000,000,000" in site.run("shop", "restored")
        with site.gateway():
            pay(site, demo.demo, APPROVES)
            [last] = read_events(site, demo.demo, count=1, after=again[-1]["sequence"])
    assert [payment["code"] for payment in new] == ["5051"] * PAYMENTS
    for name in ("orderId", "transactionId"):
        assert not {payment[name] for payment in old} & {payment[name] for payment in new}
    assert not {event["id"] for event in seen} & {event["id"] for event in again}
    assert last["sequence"] == 10**9 + 1


def _dsn_of(data_directory: Path) -> str:
    return f"postgresql://tollhouse@/tollhouse?host={(data_directory / 'socket').resolve()}&port=5432"


def _copy_to_own_databases(site: Site) -> None:
    """Give the gateway and the bank a database each, with the demo merchant in the gateway's."""
    for name in ("shop", "bank"):
        site.use("createdb", f"--maintenance-db={site.dsn_of('postgres')}", name)
    dump = site.use("pg_dump", f"--dbname={site.dsn_of('tollhouse')}", "--schema=gateway")
    site.use("psql", "--quiet", "--set=ON_ERROR_STOP=1", site.dsn_of("shop"), script=dump)
    site.run("shop", "migrate")
    site.run("bank", "migrate")


def pay(site: Site, demo: dict[str, Any], number: str) -> dict[str, Any]:
    """Pay with a card, and return the payment."""
    source = {"type": "card", "number": number, "expirationMonth": "12", "expirationYear": "30", "cvv": "009"}
    price = {"offset": "0d", "amount": 19.99, "currency": "USD", "repeat": False}
    body = {
        "paymentSource": source,
        "sku": {"siteId": demo["siteId"], "title": "Box", "price": [price]},
        "consumer": {"id": "user-1", "firstName": "Jane", "lastName": "Smith", "ip": "203.0.113.45"},
    }
    status, answer = request(f"{site.serve.url}/payment", body=body, key=demo["apiKey"])
    assert status == 201, answer
    payment: dict[str, Any] = answer["payment"]
    return payment


def read_events(site: Site, demo: dict[str, Any], *, count: int, after: int = 0) -> list[dict[str, Any]]:
    """Return a merchant's events after a number, once there are as many as wanted."""
    give_up_at = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up_at:
        status, answer = request(f"{site.serve.url}/events?after={after}", key=demo["apiKey"])
        assert status == 200, answer
        events: list[dict[str, Any]] = answer["data"]
        if len(events) >= count:
            return events
        time.sleep(0.1)
    raise AssertionError("the events were not numbered")
