"""The connector that approves everything."""

from __future__ import annotations

from tests.support.issuing import order
from tests.support.payments import CREATED_AT

from tollhouse.acquirers.approving import ApprovingAcquirer
from tollhouse.acquirers.model import AccountQuery, Acquirer, Approved, DisputeQuery, Reversed, Unchanged


async def test_it_approves_and_remembers_without_memory() -> None:
    """An inquiry finds the very approval that the authorization gave, in another process too."""
    acquirer: Acquirer = ApprovingAcquirer()
    approved = await acquirer.authorize(order(reference="r-1"))

    assert isinstance(approved, Approved)
    assert len(approved.approval_code) == 6
    assert len(approved.network_transaction_id or "") == 15
    assert await ApprovingAcquirer().inquire("r-1", order().money) == approved
    assert await acquirer.inquire("r-2", order().money) != approved


async def test_it_reverses() -> None:
    """A reversal is acknowledged."""
    assert await ApprovingAcquirer().reverse("r-1", order().money) == Reversed()


async def test_it_updates_no_card() -> None:
    """Asked about a stored card, it knows of nothing new."""
    assert await ApprovingAcquirer().update_account(AccountQuery("r-1", order().card)) == Unchanged()


async def test_nothing_is_charged_back() -> None:
    """It tells of no dispute, and takes any acknowledgement."""
    assert await ApprovingAcquirer().list_disputes(DisputeQuery(CREATED_AT)) == ()
    assert await ApprovingAcquirer().acknowledge_disputes(["1"])
