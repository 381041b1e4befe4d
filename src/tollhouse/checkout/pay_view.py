"""The summary on the payment page: items, amounts, later charges, and the reason of a decline.

The reason says less than the merchant's text, which is English. Lost, stolen and suspected cards have no text of their
own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tollhouse.catalog.model import Price
from tollhouse.catalog.prices import sum_due_at_once
from tollhouse.checkout.words import Words
from tollhouse.kernel import codes
from tollhouse.kernel.money import Money
from tollhouse.links.fees import choose_fees, compute_total, sum_due_now
from tollhouse.links.model import Fee, Link
from tollhouse.links.pay import METHOD
from tollhouse.payments.model import Item, Payment

#: Kinds of fees that have texts of their own.
KNOWN_FEES = frozenset({"processing", "platform"})
#: Keys of texts by payment code. The consumer cannot act on other codes.
REASONS = {
    codes.BLACKLISTED: "refused",
    codes.VELOCITY: "often",
    codes.AUTHENTICATION_FAILED: "unconfirmed",
    codes.AUTHENTICATION_ABANDONED: "abandoned",
    codes.AUTHENTICATION_REQUIRED: "confirm",
    codes.ACCOUNT_DISABLED: "inactive",
    codes.NO_ROUTE: "refused",
    codes.ACQUIRER_UNREACHABLE: "busy",
    codes.REVERSED: "busy",
    "5003": "refused",
    "5006": "busy",
    "5012": "not_permitted",
    "5014": "number",
    "5015": "number",
    "5028": "busy",
    "5046": "closed",
    "5051": "funds",
    "5054": "expired",
    "5057": "not_permitted",
    "5058": "not_permitted",
    "5061": "limit",
    "5062": "not_permitted",
    "5065": "often",
    "5078": "inactive",
    "5082": "code",
    "5091": "busy",
    "5092": "busy",
    "5093": "not_permitted",
    "5096": "busy",
    codes.SOFT_DECLINE: "confirm",
    "5202": "code",
    "5210": "stopped",
    "5211": "stopped",
    "5213": "stopped",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the summary. `note` describes later charges; `tax` is the part of the amount that is tax."""

    title: str
    amount: str
    note: str = ""
    tax: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """The summary of a link's items and amounts."""

    shop: str
    lines: tuple[Line, ...]
    fees: tuple[Line, ...]
    total: str
    #: Whether anything is charged now.
    is_charged: bool
    #: Explanation of the verification if nothing is charged now.
    notice: str = ""


@dataclass(frozen=True, slots=True)
class DeclineNotice:
    """The reason why the last payment failed, in the language of the page."""

    heading: str
    text: str


def build_summary(link: Link, words: Words) -> Summary:
    """Build the summary of a link."""
    terms = link.terms
    total = compute_total(terms, method=METHOD)
    return Summary(
        shop=link.site_name,
        lines=tuple(_build_line(item, words) for item in terms.items),
        fees=tuple(_build_fee(fee, words) for fee in choose_fees(terms, method=METHOD)),
        total=words.money(total),
        is_charged=total.amount_minor > 0,
        notice="" if sum_due_now(terms.items).amount_minor else words.say("verified"),
    )


def _build_line(item: Item, words: Words) -> Line:
    title = item.title or words.say("untitled")
    amount = words.money(sum_due_at_once(item.prices))
    return Line(title, amount, describe_later(item.prices, words), describe_tax(item.prices, words))


def describe_tax(prices: Sequence[Price], words: Words) -> str:
    """Describe the tax in the amount due now, as far as the merchant gave it."""
    taxed = [price.tax for price in prices if price.offset.is_at_once and price.tax]
    amount = sum(tax.amount_minor for tax in taxed)
    if not amount:
        return ""
    name = next((tax.name for tax in taxed if tax.name), None) or words.say("tax")
    return words.say("tax_included", tax=words.money(Money(amount, prices[0].money.currency)), name=name)


def _build_fee(fee: Fee, words: Words) -> Line:
    key = f"fee_{fee.kind.lower()}" if fee.kind.lower() in KNOWN_FEES else "fee_other"
    return Line(words.say(key, kind=fee.kind), words.money(fee.money))


def describe_later(prices: Sequence[Price], words: Words) -> str:
    """Describe later charges: "$5.00 in 3 days, then $29.99 every 30 days. Renews ..."."""
    later = [price for price in prices if not price.offset.is_at_once]
    if not later:
        return ""
    first, *others = [_describe_price(price, words) for price in later]
    sentence = ", ".join([first, *(words.say("then", what=text) for text in others)])
    sentence = f"{sentence[0].upper()}{sentence[1:]}."
    return f"{sentence} {words.say('until_cancelled')}" if later[-1].repeat is True else sentence


def _describe_price(price: Price, words: Words) -> str:
    amount = words.money(price.money)
    if price.repeat is True:
        return words.say("later_endless", amount=amount, every=words.every(price.offset))
    if price.is_repeating:
        return words.say("later_times", times=int(price.repeat), amount=amount, every=words.every(price.offset))
    return words.say("later_once", amount=amount, when=words.when(price.offset))


def describe_failure(last: Payment | None, words: Words, *, is_canceled: bool = False) -> DeclineNotice | None:
    """Return the reason why the last payment failed, if it did. `is_canceled`: the consumer canceled the challenge."""
    if last is None or last.code is None:
        return None
    heading = "declined" if last.code.startswith("5") else "failed"
    return DeclineNotice(words.say(heading), words.say(choose_reason(last.code, is_canceled=is_canceled)))


def choose_reason(code: str, *, is_canceled: bool) -> str:
    """Return the key of the text that gives the reason of a failed payment."""
    return f"reason_{'canceled' if is_canceled else REASONS.get(code, 'other')}"
