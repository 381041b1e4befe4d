"""The published schedules, `docs/reference/schedule-vectors.json`: the engine and the slow count agree with each."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.support.schedules import follow_changes

from tollhouse.billing.schedule import Charge, Plan, list_charges, replan
from tollhouse.catalog.model import Price
from tollhouse.catalog.prices import find_schedule_faults, parse_offset, sum_due_at_once
from tollhouse.kernel.money import Currency, Money

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "schedule-vectors.json"
PUBLISHED = json.loads(PAGE.read_text())
VECTORS = PUBLISHED["vectors"]

each_vector = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
each_rejection = pytest.mark.parametrize("vector", PUBLISHED["refused"], ids=lambda vector: vector["name"])


def read_prices(rows: list[dict[str, Any]]) -> tuple[Price, ...]:
    """Read prices as they are on the wire."""
    return tuple(
        Price(
            parse_offset(row["offset"]),
            Money.parse(Decimal(row["amount"]), Currency.of(row["currency"])),
            row["repeat"],
        )
        for row in rows
    )


def read_charges(vector: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the charges that are expected, in the words of the house."""
    currency = Currency.of(vector["prices"][0]["currency"])
    return [
        {
            "period": row["period"],
            "due_at": datetime.fromisoformat(row["dueAt"]),
            "money": Money.parse(Decimal(row["amount"]), currency),
            "covers_until": datetime.fromisoformat(row["coversUntil"]),
            "is_last": vector["ends"] and row == vector["charges"][-1],
        }
        for row in vector["charges"]
    ]


def tell(charges: list[Charge]) -> list[dict[str, Any]]:
    """Return what a vector says about charges."""
    names = ("period", "due_at", "money", "covers_until", "is_last")
    return [{name: getattr(charge, name) for name in names} for charge in charges]


def count_wanted(vector: dict[str, Any]) -> int:
    """Return how many charges to ask for: those that are listed, and one more where none is left."""
    return len(vector["charges"]) + int(vector["ends"])


@each_vector
def test_the_engine_charges_what_is_published(vector: dict[str, Any]) -> None:
    """The engine charges what the vector lists, and ends where it does."""
    plan = Plan(read_prices(vector["prices"]), datetime.fromisoformat(vector["base"]))
    charges: list[Charge] = []
    period = vector.get("fromPeriod", 1)
    for change in vector.get("changes", []):
        charges += list_charges(plan, period, change["period"] - period)
        period = change["period"]
        plan = replan(plan, read_prices(change["prices"]), period)
    charges += list_charges(plan, period, count_wanted(vector) - len(charges))
    assert tell(charges) == read_charges(vector)


@each_vector
def test_the_slow_count_comes_to_what_is_published(vector: dict[str, Any]) -> None:
    """Counting along by the definitions, without the engine, comes to the same charges."""
    skipped = vector.get("fromPeriod", 1) - 1
    changes = [(change["period"], read_prices(change["prices"])) for change in vector.get("changes", [])]
    base = datetime.fromisoformat(vector["base"])
    charges = follow_changes(read_prices(vector["prices"]), base, changes, limit=skipped + count_wanted(vector))
    assert tell(charges[skipped:]) == read_charges(vector)


@each_vector
def test_the_sign_up_charges_what_is_published(vector: dict[str, Any]) -> None:
    """What is charged with the sign-up is told with each vector, and its lists are such as the API takes."""
    prices = read_prices(vector["prices"])
    assert sum_due_at_once(prices) == Money.parse(Decimal(vector["atSignUp"]), prices[0].money.currency)
    for rows in [vector["prices"], *(change["prices"] for change in vector.get("changes", []))]:
        assert find_schedule_faults(read_prices(rows)) == {}


@each_rejection
def test_what_is_no_schedule(vector: dict[str, Any]) -> None:
    """Lists that are refused are refused for the prices that are named."""
    assert list(find_schedule_faults(read_prices(vector["prices"]))) == vector["faulty"]


def test_vectors_have_names_and_fields_that_are_described() -> None:
    """No two vectors have one name, and the page describes each of their fields."""
    names = [vector["name"] for vector in VECTORS + PUBLISHED["refused"]]
    assert len(set(names)) == len(names)
    page = PAGE.with_suffix(".md").read_text()
    rows = [row for vector in VECTORS for row in [*vector["charges"], *vector["prices"], *vector.get("changes", [])]]
    fields = {field for entry in [PUBLISHED, *VECTORS, *PUBLISHED["refused"], *rows] for field in entry}
    assert [field for field in sorted(fields) if f"`{field}`" not in page] == []
