"""Accounts, movements and entries. An entry debits one account and credits another, so that it balances by itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tollhouse.kernel.money import Money


class Account(StrEnum):
    """The chart of accounts: two trees, between which nothing moves. `is_debit` accounts grow by debits."""

    #: What issuers have set aside on cards, by authorizations that were not captured yet.
    HOLDS_ISSUERS = "holds.issuers"
    #: For whom that is set aside.
    HOLDS_MERCHANTS = "holds.merchants"
    #: What acquirers owe. May fall below zero: an issuer may take back what was given back already.
    MONEY_ACQUIRERS = "money.acquirers"
    #: What was taken for merchants, and is owed to them.
    MONEY_MERCHANTS = "money.merchants"
    #: What was given back to cardholders out of that.
    MONEY_CREDITS = "money.credits"
    #: What issuers took back out of that, less what disputes that were won have brought back. It may be more than was
    #: taken and not credited: a merchant's balance may go below zero.
    MONEY_CHARGEBACKS = "money.chargebacks"

    @property
    def tree(self) -> str:
        """The tree that the account belongs to."""
        return self.value.partition(".")[0]

    @property
    def is_debit(self) -> bool:
        """Whether debits make it grow."""
        return self not in {Account.HOLDS_MERCHANTS, Account.MONEY_MERCHANTS}


class Kind(StrEnum):
    """What a movement is: the modes of transactions that may move money, and a dispute that was won."""

    SALE = "sale"
    AUTH = "auth"
    CAPTURE = "capture"
    VOID = "void"
    CREDIT = "credit"
    CHARGEBACK = "chargeback"
    DISPUTE_WON = "dispute_won"

    @property
    def needs_held(self) -> bool:
        """Whether its entries depend on what the purchase still holds."""
        return self in {Kind.CAPTURE, Kind.VOID}


@dataclass(frozen=True, slots=True)
class Movement:
    """A settled movement of money, above zero. `payment_id` names the purchase that it belongs to."""

    merchant_id: int
    payment_id: int
    transaction_id: int
    kind: Kind
    money: Money

    @property
    def purchase(self) -> tuple[int, int]:
        """The purchase, among those of all merchants."""
        return (self.merchant_id, self.payment_id)


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the books: an amount above zero that goes from `credit` to `debit`."""

    merchant_id: int
    transaction_id: int
    number: int
    debit: Account
    credit: Account
    money: Money

    @property
    def columns(self) -> tuple[int, int, int, str, str, int, str]:
        """The columns of `ledger_entry_v1`."""
        key = (self.merchant_id, self.transaction_id, self.number)
        return (*key, self.debit, self.credit, self.money.amount_minor, self.money.currency.code)
