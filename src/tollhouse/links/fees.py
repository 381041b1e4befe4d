"""Which fees are added to a purchase. Pure.

A fee is an amount in the purchase's currency. Of each kind at most one applies: the rule for the consumer's country
comes before the one for any country, and within it the one for the method before the one for any method. Fees are
charged once, with what is due at once; a purchase with nothing due at once has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tollhouse.catalog.prices import sum_due_at_once
from tollhouse.kernel.money import Money
from tollhouse.links.model import ANY, Fee, FeeRule, Terms

if TYPE_CHECKING:
    from tollhouse.payments.model import Item


def choose_fees(terms: Terms, *, method: str) -> tuple[Fee, ...]:
    """Return the fees of a purchase that is paid by a method, in the order in which the merchant named their kinds."""
    if not due_now(terms.items).amount_minor:
        return ()
    country = str(terms.consumer.get("country", ANY))
    kinds = dict.fromkeys(rule.kind for rule in terms.fee_rules)
    chosen = [(kind, _choose(terms.fee_rules, kind, country, method)) for kind in kinds]
    return tuple(Fee(kind, Money(amount, terms.currency)) for kind, amount in chosen if amount)


def _choose(rules: Sequence[FeeRule], kind: str, country: str, method: str) -> int:
    by_place = {(rule.country, rule.method): rule.amount_minor for rule in reversed(rules) if rule.kind == kind}
    places = [(country, method), (country, ANY), (ANY, method), (ANY, ANY)]
    return next((by_place[place] for place in places if place in by_place), 0)


def due_now(items: Sequence[Item]) -> Money:
    """Add up what is due at once, without fees."""
    sums = [sum_due_at_once(item.prices) for item in items]
    return Money(sum(due.amount_minor for due in sums), sums[0].currency)


def total_of(terms: Terms, *, method: str) -> Money:
    """Add up what is charged now, with fees."""
    due, fees = due_now(terms.items), choose_fees(terms, method=method)
    return Money(due.amount_minor + sum(fee.money.amount_minor for fee in fees), due.currency)
