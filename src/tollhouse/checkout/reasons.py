"""The reason of a decline as a text for the consumer, which says less than the merchant's.

The public text of a code is for merchants and is English. Lost, stolen and suspected cards have no text of their own.
"""

from __future__ import annotations

from tollhouse.kernel import codes

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


def choose_reason(code: str, *, is_canceled: bool) -> str:
    """Return the key of the text that gives the reason of a failed payment."""
    return f"reason_{'canceled' if is_canceled else REASONS.get(code, 'other')}"
