"""A first payment: tokenize a card, pay with the token, pay again without it.

python examples/pay.py .tollhouse/demo.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tollhouse.client import Client, account, price, token


def main(demo: dict[str, Any]) -> None:
    """Pay twice."""
    with Client(demo["baseUrl"], demo["apiKey"]) as client:
        card = client.tokenize("4024007179366348", month="12", year="30", cvv="009", holder="Jane Smith")
        first = client.pay(
            source=token(card.token),
            sku={"siteId": demo["siteId"], "title": "First payment", "price": [price("19.99", "USD")]},
            consumer={"id": "user-00456", "firstName": "Jane", "lastName": "Smith", "ip": "203.0.113.45"},
        )
        print(first.payment.status, first.payment.amount, first.payment.currency)
        if first.payment.source is None:
            return
        again = client.pay(
            source=account(first.payment.source.payment_account_id),
            sku={"name": "ONE_TIME"},
            consumer={"ip": "203.0.113.45"},
        )
        print(again.payment.status, again.payment.amount, again.payment.currency)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
