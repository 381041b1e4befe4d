"""Parts of a payment request: sources and prices."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tollhouse.client.core import exact

Part = dict[str, Any]


def token(value: str, **more: Any) -> Part:
    """Pay with a token of `tokenize`."""
    return {"type": "token", "token": value, **more}


def card(number: str, *, month: str, year: str, cvv: str | None = None, holder: str | None = None, **more: Any) -> Part:
    """Pay with a card in clear text.

    `month` and `year` have two digits. The seller must be certified to handle card data.
    """
    fields = {"number": number, "expirationMonth": month, "expirationYear": year, "cvv": cvv, "cardHolder": holder}
    return {"type": "card", **fields, **more}


def account(payment_account_id: str, *, cvv: str | None = None, **more: Any) -> Part:
    """Pay with a stored card, and with its security code if the cardholder typed it again."""
    if cvv is None:
        return {"type": "paymentAccountId", "paymentAccountId": payment_account_id, **more}
    return {"type": "paymentAccountIdWithCvv", "paymentAccountId": payment_account_id, "cvv": cvv, **more}


def consumer(consumer_id: str, **more: Any) -> Part:
    """Pay with the card of a consumer's last successful payment. `consumer_id` is the gateway's ID."""
    return {"type": "consumer", "id": consumer_id, **more}


def price(
    amount: str | int | Decimal, currency: str, *, offset: str = "0d", repeat: bool | int = False, **more: Any
) -> Part:
    """Return one charge: at once, or `offset` (`30d`, `2w`, `1m`, `1y`) after the previous one. It may repeat.

    Raises TypeError for a float, which is not exact. Write 19.99 as `"19.99"`.
    """
    return {"offset": offset, "amount": exact(amount), "currency": currency, "repeat": repeat, **more}
