"""Which acquirer is asked."""

from __future__ import annotations

from tollhouse.payments.routing import choose_acquirer


def test_acquirers_come_in_their_order() -> None:
    """The first is asked first, each further one once, and then there is none."""
    names = ["a", "b"]
    assert [choose_acquirer(names, after=name) for name in (None, "a", "b", "gone")] == ["a", "b", None, None]
    assert choose_acquirer([]) is None
