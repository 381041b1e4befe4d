"""A billing worker at a shop on a real database."""

from __future__ import annotations

import pytest
from tests.support.billing import Billing
from tests.support.shop import Shop


@pytest.fixture
def billing(shop: Shop) -> Billing:
    """The worker of the shop's process."""
    return Billing(shop)


@pytest.fixture
def other_billing(other_process: Shop) -> Billing:
    """A second worker, in a process of its own."""
    return Billing(other_process)
