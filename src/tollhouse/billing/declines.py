"""The meaning of a failed renewal for its card. The rules are those of `billing.dunning`."""

from __future__ import annotations

from tollhouse.billing import dunning
from tollhouse.billing.model import Decline


def ends_all_on_card(decline: Decline) -> bool:
    """Return whether a decline ends every subscription that is paid with the card."""
    return _choose_rule(decline).takes_all_on_card


def is_decline(decline: Decline) -> bool:
    """Return whether the issuer declined.

    Else it was not reached, or its response was lost and the attempt reversed.
    """
    return _choose_rule(decline).is_decline


def is_for_good(decline: Decline) -> bool:
    """Return whether the card is not charged again at the merchant, unless it is approved later."""
    return _choose_rule(decline).is_for_good


def _choose_rule(decline: Decline) -> dunning.DunningRule:
    return dunning.choose_rule(decline.code, decline.advice_code)
