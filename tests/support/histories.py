"""Random histories of purchases, and what their books have to say: a second opinion that knows no entry.

A history is a list of settled transactions of several purchases, as a gateway would settle them. `Ledgerless` adds the
same amounts up by plain arithmetic.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tollhouse.kernel.money import Currency, Money
from tollhouse.ledger.model import Movement, MovementKind

CURRENCIES = ("USD", "JPY", "KWD")


@dataclass(frozen=True, slots=True)
class Settled:
    """A settled transaction: `mode`, whether it was approved, and its amount."""

    payment_id: int
    transaction_id: int
    mode: str
    amount_minor: int
    currency: str = "USD"
    is_approved: bool = True

    @property
    def status(self) -> str:
        """The status of its row."""
        return "success" if self.is_approved else "fail"

    def movement(self, merchant_id: int = 1) -> Movement | None:
        """Return the movement that it is, if it moved anything."""
        if not self.is_approved or not self.amount_minor:
            return None
        money = Money(self.amount_minor, Currency.of(self.currency))
        return Movement(merchant_id, self.payment_id, self.transaction_id, MovementKind(self.mode), money)


@st.composite
def histories(draw: Any, *, most: int = 5) -> list[Settled]:
    """Draw the histories of a few purchases, one after the other in one list, in the order of their ids."""
    settled: list[Settled] = []
    for payment_id in range(1, draw(st.integers(1, most)) + 1):
        settled += draw(purchases(payment_id, first_id=len(settled) + 1))
    return settled


@st.composite
def purchases(draw: Any, payment_id: int, first_id: int) -> list[Settled]:
    """Draw one purchase: how it began, and what was asked of it later, approved or not."""
    currency = draw(st.sampled_from(CURRENCIES))
    begun = draw(st.sampled_from(["sale", "auth"]))
    amount = draw(st.integers(0, 10_000))
    purchase = Purchase(payment_id, currency, first_id)
    purchase.settle(begun, amount, is_approved=draw(st.booleans()) or draw(st.booleans()))
    for _ in range(draw(st.integers(0, 6))):
        bounds = purchase.possible()
        mode = draw(st.sampled_from(sorted(bounds)))
        least, most = bounds[mode]
        is_approved = mode == "chargeback" or draw(st.booleans()) or draw(st.booleans())
        purchase.settle(mode, draw(st.integers(least, most)), is_approved=is_approved)
    return purchase.settled


class Purchase:
    """What a purchase holds, has taken and has given back, by plain arithmetic."""

    def __init__(self, payment_id: int, currency: str, first_id: int) -> None:
        self.payment_id, self.currency, self.next_id = payment_id, currency, first_id
        self.held = self.taken = self.given_back = self.lost = 0
        self.settled: list[Settled] = []

    def possible(self) -> dict[str, tuple[int, int]]:
        """Return what may be asked of it now, with the smallest and the greatest amount."""
        left = self.taken - self.given_back - self.lost
        bounds: dict[str, tuple[int, int]] = {"chargeback": (1, 12_000)}
        if self.held:
            bounds |= {"capture": (1, self.held), "void": (self.held, self.held)}
        if left > 0:
            bounds["credit"] = (1, left)
        if left == self.taken > 0:
            bounds["void"] = (left, left)
        return bounds

    def settle(self, mode: str, amount: int, *, is_approved: bool) -> None:
        """Note a transaction; a declined one changes nothing else."""
        row = Settled(self.payment_id, self.next_id, mode, amount, self.currency, is_approved)
        self.settled.append(row)
        self.next_id += 1
        if not is_approved:
            return
        match mode:
            case "sale":
                self.taken += amount
            case "auth":
                self.held += amount
            case "capture":
                self.held, self.taken = 0, self.taken + amount
            case "void" if self.held:
                self.held = 0
            case "void":
                self.taken -= amount
            case "credit":
                self.given_back += amount
            case _:
                self.lost += amount


def expected_balances(settled: Iterable[Settled]) -> dict[tuple[str, str], int]:
    """Return how far each account has to have grown, by currency and account; those at zero are left out."""
    purchases: dict[int, Purchase] = {}
    for row in settled:
        purchase = purchases.setdefault(row.payment_id, Purchase(row.payment_id, row.currency, 0))
        purchase.settle(row.mode, row.amount_minor, is_approved=row.is_approved)
    totals: Counter[tuple[str, str]] = Counter()
    for purchase in purchases.values():
        for account, amount in (
            ("holds.issuers", purchase.held),
            ("holds.merchants", purchase.held),
            ("money.acquirers", purchase.taken - purchase.given_back - purchase.lost),
            ("money.merchants", purchase.taken),
            ("money.credits", purchase.given_back),
            ("money.chargebacks", purchase.lost),
        ):
            totals[purchase.currency, account] += amount
    return {key: total for key, total in totals.items() if total}


INSERT_SETTLED = """
with charged_back as (
    insert into operation (
        merchant_id, transaction_id, payment_id, basis_id, basis_mode, cause, request_id, created_at, dispute_step,
        moved_minor, excess_minor
    )
    select $1, transaction_id, payment_id, transaction_id, 'sale', 'issuer', '', now(), 'first', amount_minor, 0
    from unnest($2::bigint[], $3::bigint[], $4::text[], $6::bigint[])
        as given (transaction_id, payment_id, mode, amount_minor)
    where mode = 'chargeback'
)
insert into transaction (
    merchant_id, transaction_id, payment_id, mode, status, amount_minor, currency, source_kind, brand, masked_number,
    expiry_month, expiry_year, account_id, is_stored, initiator, reason, code, created_at, finished_at
)
select $1, transaction_id, payment_id, mode::transaction_mode, status::transaction_status, amount_minor, currency,
    'card', 'visa', '', 12, 2030, gen_random_uuid(), false, 'customer', 'one_click', '0', now(), now()
from unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::text[])
    as given (transaction_id, payment_id, mode, status, amount_minor, currency)
"""


def columns_of(merchant_id: int, settled: Sequence[Settled]) -> tuple[Any, ...]:
    """Return the arguments of `INSERT_SETTLED`."""
    return (
        merchant_id,
        [row.transaction_id for row in settled],
        [row.payment_id for row in settled],
        [row.mode for row in settled],
        [row.status for row in settled],
        [row.amount_minor for row in settled],
        [row.currency for row in settled],
    )
