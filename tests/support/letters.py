"""Letters for tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tollhouse.notices.model import EmailFacts, EmailState, Notice, NoticeKind

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def facts(**changes: Any) -> EmailFacts:
    """Return the facts of a receipt over 1019.90."""
    defaults: dict[str, Any] = {
        "kind": NoticeKind.RECEIPT,
        "shop": "shop.example",
        "title": "Premium Monthly",
        "descriptor": "SHOP*PREMIUM",
        "amount_minor": 101_990,
        "currency": "EUR",
        "order_id": "100000000",
        "transaction_id": "10000000",
        "at": AT,
        "brand": "visa",
        "masked_number": "402400****6348",
        "approval_code": "A12345",
    }
    return EmailFacts(**(defaults | changes))


def notice(*, recipient: str = "jane@shop.example", language: str = "en", **changes: Any) -> Notice:
    """Return a letter that waits; the changes are those of its facts."""
    return Notice(
        1, 10_000_000, recipient, language, facts(**changes), EmailState.WAITING, 0, AT, AT, timedelta(), None
    )
