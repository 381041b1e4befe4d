"""A Python client of the API for shops.

    from tollhouse.client import Client, price, token

    with Client("http://127.0.0.1:8080", key) as client:
        answer = client.pay(
            source=token(token_id),
            sku={"siteId": "983759353", "title": "Socks", "price": [price("19.99", "USD")]},
            consumer={"id": "user-00123", "ip": "203.0.113.45"},
        )
        print(answer.payment.status)

`AsyncClient` has the same methods, awaited. Both repeat a request that may have been lost under the same X-Request-ID,
so that nothing is charged twice. A listener reads callbacks with `read_ipn`, which checks both signatures.
`tollhouse.client.calls` describes the calls (`stage_calls` those for test cards), `tollhouse.client.answers` the
responses.
"""

from __future__ import annotations

from tollhouse.client.clients import AsyncClient, Client
from tollhouse.client.core import ApiError, ClientError, NotAnswered, Retries
from tollhouse.client.ipn import Ipn, read_ipn
from tollhouse.client.sources import account, card, consumer, price, token
from tollhouse.ipn.message.signature import SignatureMismatch

__all__ = [
    "ApiError",
    "AsyncClient",
    "Client",
    "ClientError",
    "Ipn",
    "NotAnswered",
    "Retries",
    "SignatureMismatch",
    "account",
    "card",
    "consumer",
    "price",
    "read_ipn",
    "token",
]
