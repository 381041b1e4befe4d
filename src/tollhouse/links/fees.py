"""Rules for fees added to a payment.

A fee is an amount in the payment's currency. At most one rule of each kind applies: a rule for the consumer's country
precedes one for any country, and then a rule for the method precedes one for any method. Fees are charged once, with
the first payment; a payment with nothing due at once has none.
"""

from __future__ import annotations

from collections.abc import Sequence

from tollhouse.catalog.prices import sum_due_at_once
from tollhouse.kernel.money import Money
from tollhouse.links.model import ANY, Fee, FeeRule, Terms
from tollhouse.payments.model import Item


def choose_fees(terms: Terms, *, method: str) -> tuple[Fee, ...]:
    """Return the fees of a payment by a method, in the order in which the merchant listed their kinds."""
    if not sum_due_now(terms.items).amount_minor:
        return ()
    country = str(terms.consumer.get("country", ANY))
    kinds = dict.fromkeys(rule.kind for rule in terms.fee_rules)
    chosen = [(kind, _choose(terms.fee_rules, kind, country, method)) for kind in kinds]
    return tuple(Fee(kind, Money(amount, terms.currency)) for kind, amount in chosen if amount)


def _choose(rules: Sequence[FeeRule], kind: str, country: str, method: str) -> int:
    by_place = {(rule.country, rule.method): rule.amount_minor for rule in reversed(rules) if rule.kind == kind}
    places = [(country, method), (country, ANY), (ANY, method), (ANY, ANY)]
    return next((by_place[place] for place in places if place in by_place), 0)


def sum_due_now(items: Sequence[Item]) -> Money:
    """Return the amount that is due at once, without fees."""
    sums = [sum_due_at_once(item.prices) for item in items]
    return Money(sum(due.amount_minor for due in sums), sums[0].currency)


def compute_total(terms: Terms, *, method: str) -> Money:
    """Return the amount that is charged now, with fees."""
    due, fees = sum_due_now(terms.items), choose_fees(terms, method=method)
    return Money(due.amount_minor + sum(fee.money.amount_minor for fee in fees), due.currency)
