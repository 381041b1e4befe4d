"""Ten years of random schedules: each due period is billed once, none early, without drift, as it was foretold.

`make years SCHEDULES=10000` lives through more of them.
"""

from __future__ import annotations

import os
from datetime import datetime

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.support.bills import Bills
from tests.support.due_dates import STARTS, schedules
from tests.support.years import CALM, ROUGH, SimulatedSubscription, live

from tollhouse.catalog.model import Price

SCHEDULES = int(os.environ.get("YEARS_SCHEDULES", "60"))
#: Years do not shrink in any time: what fails is looked into by its seed.
PHASES = (Phase.explicit, Phase.generate)
#: Calm lives are long, and tell less.
CALM_SHARE = 4
SEEDS = st.integers(0, 2**32 - 1)


def judge(simulated: SimulatedSubscription) -> Bills:
    """Return the bills of a subscription whose acquirer says which tries it charged, as of the end of its years."""
    for index, row in enumerate(simulated.tries):
        row.is_charged = index in simulated.books and simulated.books[index] is None
    return Bills(simulated.subscription, simulated.tries, simulated.calendar, min(simulated.now, simulated.until))


@pytest.mark.slow
@settings(max_examples=SCHEDULES, phases=PHASES)
@given(prices=schedules(), at=STARTS, seed=SEEDS)
def test_rough_years(prices: tuple[Price, ...], at: datetime, seed: int) -> None:
    """With outages, crashes, two workers, declines and a merchant's changes: once, in order, and as it was foretold."""
    simulated = live(prices, at, seed, ROUGH)
    summarized = f"live({prices}, {at!r}, {seed}, ROUGH)\n{simulated.subscription}"
    bills = judge(simulated)
    assert bills.find_faults() == [], summarized
    if not simulated.is_repriced:
        charged = [(each.due_at, each.amount_minor) for each in bills.paid]
        expected = list_foretold(simulated)
        assert charged[: len(expected)] == expected[: len(charged)], summarized


@pytest.mark.slow
@settings(max_examples=SCHEDULES // CALM_SHARE, phases=PHASES)
@given(prices=schedules(), at=STARTS)
def test_calm_years(prices: tuple[Price, ...], at: datetime) -> None:
    """Where nothing intervenes the charges are those that were listed at the sign-up, all of them and in time."""
    simulated = live(prices, at, 0, CALM)
    assert judge(simulated).find_faults() == [], (prices, at)
    foretold = [(each.due_at, each.money.amount_minor) for each in simulated.foretold]
    dues = [(due.at, due.amount_minor) for due in simulated.calendar.dues]
    assert foretold[: len(dues)] == dues[: len(foretold)]
    charged = [(each.due_at, each.amount_minor) for each in simulated.tries]
    expected = [(due_at, amount) for due_at, amount in list_foretold(simulated) if due_at < simulated.until]
    assert charged[: len(expected)] == expected
    assert all((each.tried_at - each.due_at).total_seconds() <= 3 for each in simulated.tries)


def list_foretold(simulated: SimulatedSubscription) -> list[tuple[datetime, int]]:
    """Return time and amount of the charges that were listed at the sign-up, without those of nothing."""
    return [(each.due_at, each.money.amount_minor) for each in simulated.foretold if each.money.amount_minor]
