"""Answers that are about another request than the one that was sent."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tollhouse.acquirers.model import (
    PARTIAL,
    Approved,
    Declined,
    Echo,
    Finding,
    ReferenceUnknown,
    Reversed,
    Unknown,
    check_echo,
)
from tollhouse.kernel.money import Currency, Money

APPROVED = Approved("A1", "N1")
ANSWERS = st.sampled_from([APPROVED, Approved("A1", None, PARTIAL), Declined("05"), ReferenceUnknown(), Reversed()])
ECHOES = st.builds(
    Echo,
    reference=st.sampled_from(["1-1", "1-2", "11-1", ""]),
    amount_minor=st.sampled_from([None, -1, 0, 1, 1998, 1999, 2000]),
    currency=st.sampled_from([None, "USD", "EUR", "usd", ""]),
)


@given(ANSWERS, ECHOES)
def test_an_answer_about_another_request_is_unknown(finding: Finding, echo: Echo) -> None:
    """Only an answer that repeats reference, amount and currency decides; of a partial approval less is repeated."""
    found = check_echo(finding, echo, reference="1-1", money=Money(1999, Currency.of("USD")))
    is_part = isinstance(finding, Approved) and finding.response_code == PARTIAL
    amounts = {-1, 0, 1, 1998, 1999} if is_part else {1999}
    is_whole = echo.amount_minor in amounts and echo.currency == "USD"
    is_silent = echo.amount_minor is None and echo.currency is None and isinstance(finding, ReferenceUnknown | Reversed)

    if echo.reference == "1-1" and (is_whole or is_silent):
        assert found is finding
    else:
        assert isinstance(found, Unknown)
