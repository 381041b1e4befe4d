"""Which events go at once, which wait, and which are not delivered."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tollhouse.ipn.number import is_delivered, plan_routes
from tollhouse.ipn.store import OrderingKey, OriginKey, UnnumberedEvent

URL = "https://example.com/ipn"
HOSTS = {OriginKey(1, "https://example.com:443"): 5, OriginKey(2, "https://example.com:443"): 6}


def event(event_id: int, *, merchant_id: int = 1, thread: int | None = None, url: str = URL) -> UnnumberedEvent:
    """An event as the sequencer reads it."""
    return UnnumberedEvent(merchant_id, event_id, thread, url, "json", datetime(2026, 1, 1, tzinfo=UTC))


def test_first_of_a_thread_goes_and_the_others_wait() -> None:
    """Of the events of one payment in a batch the first may go; other payments and other merchants do not mind."""
    events = [event(3, thread=9), event(1, thread=9), event(2, thread=8), event(4, merchant_id=2, thread=9)]
    routes = plan_routes(events, unfinished=set(), hosts=HOSTS)
    assert [(route.event.event_id, route.host_id, route.held) for route in routes] == [
        (1, 5, False),
        (2, 5, False),
        (3, 5, True),
        (4, 6, False),
    ]


def test_event_waits_for_one_that_is_under_way() -> None:
    """An event whose payment has an earlier one undelivered is held back."""
    routes = plan_routes([event(2, thread=9)], unfinished={OrderingKey(1, 9)}, hosts=HOSTS)
    assert [route.held for route in routes] == [True]


def test_events_without_a_thread_never_wait() -> None:
    """What belongs to no payment and no subscription goes at once."""
    routes = plan_routes([event(1), event(2)], unfinished={OrderingKey(1, 9)}, hosts=HOSTS)
    assert [route.held for route in routes] == [False, False]


def test_both_forms_of_an_event_go_together() -> None:
    """An event in both forms has two deliveries, which do not wait for each other; the next event does."""
    both = replace(event(1, thread=9), format="both")
    routes = plan_routes([both, event(2, thread=9)], unfinished=set(), hosts=HOSTS)
    assert [(route.event.event_id, route.number, route.form, route.held) for route in routes] == [
        (1, 1, "json", False),
        (1, 2, "legacy", False),
        (2, 1, "json", True),
    ]


@pytest.mark.parametrize(("url", "delivered"), [(URL, True), ("", False)])
def test_what_has_a_url_is_delivered(url: str, delivered: bool) -> None:  # noqa: FBT001 - a table
    """Events without a URL are not posted."""
    assert is_delivered(event(1, url=url)) is delivered
