"""Ten years of random schedules: each due period is billed once, none early, without drift, as it was foretold.

`make years SCHEDULES=10000` lives through more of them.
"""

from __future__ import annotations

import os
from datetime import datetime

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.support.bills import Bills
from tests.support.calendar import STARTS, schedules
from tests.support.years import CALM, ROUGH, World, live

from tollhouse.catalog.model import Price

SCHEDULES = int(os.environ.get("YEARS_SCHEDULES", "100"))
#: Years do not shrink in any time: what fails is looked into by its seed.
PHASES = (Phase.explicit, Phase.generate)
SEEDS = st.integers(0, 2**32 - 1)


def judge(world: World) -> Bills:
    """Return the bills of a world whose acquirer says which tries it charged, as of the end of its years."""
    for index, row in enumerate(world.tries):
        row.is_charged = index in world.books and world.books[index] is None
    return Bills(world.subscription, world.tries, world.calendar, min(world.now, world.until))


@settings(max_examples=SCHEDULES, phases=PHASES)
@given(prices=schedules(), at=STARTS, seed=SEEDS)
def test_rough_years(prices: tuple[Price, ...], at: datetime, seed: int) -> None:
    """With outages, crashes, two workers, declines and a merchant's wishes: once, not early, in order, no drift."""
    bills = judge(live(prices, at, seed, ROUGH))
    assert bills.find_faults() == [], f"live({prices}, {at!r}, {seed}, ROUGH)\n{bills.subscription}"


@settings(max_examples=SCHEDULES, phases=PHASES)
@given(prices=schedules(), at=STARTS, seed=SEEDS)
def test_what_was_foretold_is_charged(prices: tuple[Price, ...], at: datetime, seed: int) -> None:
    """Where nothing intervenes the charges are those that were listed at the sign-up, by time and amount."""
    world = live(prices, at, seed, CALM)
    assert judge(world).find_faults() == [], (prices, at)
    foretold = [(each.due_at, each.money.amount_minor) for each in world.foretold]
    dues = [(due.at, due.amount_minor) for due in world.calendar.dues]
    assert foretold[: len(dues)] == dues[: len(foretold)]
    charged = [(each.due_at, each.amount_minor) for each in world.tries]
    expected = [(due_at, amount) for due_at, amount in foretold if amount and due_at < world.until]
    assert charged[: len(expected)] == expected
    assert all((each.tried_at - each.due_at).total_seconds() <= 3 for each in world.tries)
