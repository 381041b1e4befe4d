"""Accounts, movements and entries. An entry debits one account and credits another, so it balances by itself."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from tollhouse.kernel.money import Money


class LedgerAccount(StrEnum):
    """The chart of accounts: two trees with no movements between them. Debits increase `is_debit` accounts."""

    #: Amounts that issuers hold on cards for uncaptured authorizations.
    HOLDS_ISSUERS = "holds.issuers"
    #: The merchants' side of those holds.
    HOLDS_MERCHANTS = "holds.merchants"
    #: Amounts that acquirers owe. May be negative: an issuer may take back an amount that was already refunded.
    MONEY_ACQUIRERS = "money.acquirers"
    #: Amounts captured for merchants and owed to them.
    MONEY_MERCHANTS = "money.merchants"
    #: Refunds to cardholders out of that.
    MONEY_CREDITS = "money.credits"
    #: Chargebacks by issuers out of that, less won disputes. May exceed the captured amount less refunds, so a
    #: merchant's balance may be negative.
    MONEY_CHARGEBACKS = "money.chargebacks"

    @property
    def tree(self) -> str:
        """The tree that the account belongs to."""
        return self.value.partition(".")[0]

    @property
    def is_debit(self) -> bool:
        """Whether debits increase it."""
        return self not in {LedgerAccount.HOLDS_MERCHANTS, LedgerAccount.MONEY_MERCHANTS}


class MovementKind(StrEnum):
    """The kind of a movement: a mode of transactions that may move money, or a won dispute."""

    SALE = "sale"
    AUTH = "auth"
    CAPTURE = "capture"
    VOID = "void"
    CREDIT = "credit"
    CHARGEBACK = "chargeback"
    DISPUTE_WON = "dispute_won"


class Movement(Struct, frozen=True):
    """A final movement of money, above zero, of the payment `payment_id`."""

    merchant_id: int
    payment_id: int
    transaction_id: int
    kind: MovementKind
    money: Money

    @property
    def purchase(self) -> tuple[int, int]:
        """The payment's key among those of all merchants."""
        return (self.merchant_id, self.payment_id)


class LedgerEntry(Struct, frozen=True):
    """A ledger entry: an amount above zero from `credit` to `debit`."""

    merchant_id: int
    transaction_id: int
    number: int
    debit: LedgerAccount
    credit: LedgerAccount
    money: Money

    @property
    def columns(self) -> tuple[int, int, int, str, str, int, str]:
        """The columns of `ledger_entry_v1`."""
        key = (self.merchant_id, self.transaction_id, self.number)
        return (*key, self.debit, self.credit, self.money.amount_minor, self.money.currency.code)
