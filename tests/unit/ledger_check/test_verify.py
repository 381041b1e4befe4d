"""Violations that balances alone show."""

from __future__ import annotations

from tollhouse.ledger.model import LedgerAccount
from tollhouse.ledger_check.store import Balance
from tollhouse.ledger_check.verify import find_balance_violations


def balance(account: LedgerAccount, debits: int, credits_: int, *, currency: str = "USD", negative: int = 0) -> Balance:
    """Return what an account was debited and credited."""
    return Balance(currency, account, debits, credits_, negative)


def test_trees_sum_to_zero() -> None:
    """Each tree sums to zero in each currency by itself: what one has too much, no other makes up for."""
    sound = [balance(LedgerAccount.MONEY_ACQUIRERS, 1000, 0), balance(LedgerAccount.MONEY_MERCHANTS, 0, 1000)]
    assert find_balance_violations(sound) == []
    for wrong in (
        balance(LedgerAccount.HOLDS_ISSUERS, 1000, 0),
        balance(LedgerAccount.MONEY_CREDITS, 0, 1000, currency="EUR"),
        balance(LedgerAccount.MONEY_CREDITS, 1, 0),
    ):
        [violation] = find_balance_violations([*sound, wrong])
        assert f"{wrong.account.tree}.* in {wrong.currency} do not sum to zero" in str(violation)


def test_accounts_below_zero() -> None:
    """An account that is negative for a merchant is named with its currency."""
    accounts = [balance(LedgerAccount.HOLDS_ISSUERS, 5, 9, negative=2), balance(LedgerAccount.HOLDS_MERCHANTS, 9, 5)]
    [violation] = find_balance_violations(accounts)
    assert "holds.issuers in USD is negative for 2 merchants" in str(violation)


def test_balance_grows_by_its_side() -> None:
    """A balance grows by the side that its account grows by."""
    assert balance(LedgerAccount.MONEY_ACQUIRERS, 9, 5).columns == (9, 5, 4)
    assert balance(LedgerAccount.MONEY_MERCHANTS, 5, 9).columns == (5, 9, 4)
