"""The golden corpus: responses, callbacks and stored rows of fixed scripts are as they were when they were recorded.

`make golden` records it anew; the difference in version control then shows what a change has changed.
"""

from __future__ import annotations

import copy
import inspect
import json
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.golden.compare import list_differences
from tests.golden.flow import Flow, open_flow
from tests.golden.flows import (
    callbacks,
    cards,
    http,
    live,
    operations,
    pages,
    plugin,
    resources,
    subscriptions,
    threeds,
)
from tests.golden.tape import write
from tests.support.every_route import find_calls
from tests.support.webshop import open_webshop

RECORDED = Path(__file__).with_name("recorded")
RECORDS_ANEW = os.environ.get("GOLDEN") == "record"
MODULES = (callbacks, cards, http, live, operations, pages, plugin, resources, subscriptions, threeds)

#: Scripts by name: every function of those modules that takes a flow and nothing else.
SCRIPTS: dict[str, Callable[[Flow], Awaitable[None]]] = {
    name: script
    for module in MODULES
    for name, script in inspect.getmembers(module, inspect.iscoroutinefunction)
    if script.__module__ == module.__name__ and list(inspect.signature(script).parameters) == ["flow"]
}
#: Flows with challenges: the Directory's results come over HTTP.
SERVED = ("frictionless", "challenges", "without_a_browser", "unknown_pages", "challenged_page")
#: Settings of flows that need others than those of stage.
SETTINGS: dict[str, dict[str, Any]] = {
    "limited": {"velocity_attempts_by_consumer": 3, "velocity_declines_by_card": 2},
    "live_payments": {"environment": "live", "is_virtual": False},
    **{name: {"is_served": True} for name in SERVED},
}


@pytest.mark.parametrize("name", sorted(SCRIPTS))
async def test_flow_is_as_recorded(database_dsn: str, name: str) -> None:
    """Responses, callbacks and stored rows of a script are equal to the record, but for random ids and times."""
    async with open_flow(database_dsn, **SETTINGS.get(name, {})) as flow:
        await SCRIPTS[name](flow)
    path = RECORDED / f"{name}.json"
    if RECORDS_ANEW:
        path.write_text(write(flow.entries))
    differences = list_differences(json.loads(path.read_text()), json.loads(write(flow.entries)))
    assert not differences, f"{name} differs from its record (`make golden` records it anew):\n{differences}"


def read_record(name: str) -> list[Any]:
    """Read the record of a flow."""
    entries: list[Any] = json.loads((RECORDED / f"{name}.json").read_text())
    return entries


def change_header(entries: list[Any]) -> None:
    """Leave a response header out."""
    del entries[0]["response"]["headers"]["x-content-type-options"]


def change_message(entries: list[Any]) -> None:
    """Say the same in other words."""
    faulty = next(each for each in entries if each.get("response", {}).get("status") == 400)
    faulty["response"]["body"]["message"] = "Some fields are faulty."


def change_ledger(entries: list[Any]) -> None:
    """Swap the sides of a ledger entry."""
    line = entries[-1]["rows"]["ledger"][0]
    line["debit"], line["credit"] = line["credit"], line["debit"]


def change_callback(entries: list[Any]) -> None:
    """Lose a callback."""
    entries.remove(next(each for each in entries if "callback" in each))


@pytest.mark.parametrize("change", [change_header, change_message, change_ledger, change_callback])
def test_a_difference_is_found(change: Callable[[list[Any]], None]) -> None:
    """A replay with a header or callback less, another message or other ledger sides differs from its record."""
    recorded = read_record("refunds")
    replayed = copy.deepcopy(recorded)
    assert not list_differences(recorded, replayed)
    change(replayed)
    assert list_differences(recorded, replayed).startswith("entry ")


def test_every_record_has_its_script() -> None:
    """The folder holds the record of each script and nothing else."""
    assert {path.stem for path in RECORDED.iterdir()} == set(SCRIPTS)


async def test_every_route_is_in_the_corpus(database_dsn: str) -> None:
    """Each method of each route was called in some flow."""
    async with open_webshop(database_dsn) as shop:
        # The numbers of /metrics differ each time.
        calls = [call for call in find_calls(shop.web.routes) if call != ("GET", "/metrics")]
    requests = [each["request"] for name in SCRIPTS for each in read_record(name) if "request" in each]
    called = {(request["method"], request["path"].partition("?")[0]) for request in requests}
    assert len(calls) > 80
    missing = [
        (method, path)
        for method, path in calls
        if not any(method == used and is_path(path, target) for used, target in called)
    ]
    assert not missing


def is_path(template: str, path: str) -> bool:
    """Tell whether a path is one of a route's."""
    return re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template)), path) is not None
