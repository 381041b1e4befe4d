"""A client that sends what the public PHP client sends and reads what it reads: every call that concerns cards.

Its calls have the names of that client, in the spelling of this house; what each sends stands in section 4 of the wire
contract, what each reads in section 3. A fault in an answer is a PhpTypeError or a PhpWarning, as there.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx
from tests.support.php import (
    Field,
    PhpTypeError,
    decode,
    encode,
    need_list,
    need_no_container,
    need_object,
    read,
    value_object,
)

#: The two spellings of the header in the client's classes of requests; None where it has none.
LOWER, UPPER = "X-Request-Id", "X-Request-ID"

TIME: dict[str, Field] = {
    "dateTime": ("warn", "string"),
    "timezone": ("warn", "string"),
    "unixTime": ("warn", "string"),
}
PAYMENT: dict[str, Field] = {
    **dict.fromkeys(
        ("code", "description", "action", "url", "mode", "status", "currency", "orderId", "transactionId"),
        ("opt", "string"),
    ),
    **dict.fromkeys(("descriptor", "apiPaymentSource"), ("opt", "string")),
    **dict.fromkeys(("amount", "amountUsd"), ("opt", "float")),
    "source": ("opt", "object"),
    "timestamp": ("opt", "object"),
}
SOURCE: dict[str, Field] = {
    **dict.fromkeys(("method", "number", "brand", "paymentAccountId"), ("opt", "string")),
    **dict.fromkeys(("expirationMonth", "expirationYear"), ("opt", "string")),
    "disabled": ("must", "bool"),
}
CONSUMER: dict[str, Field] = {
    **dict.fromkeys(
        ("id", "externalId", "email", "firstName", "lastName", "phone", "country", "state", "city", "zip"),
        ("opt", "string"),
    ),
    **dict.fromkeys(("groupId", "username", "birthday"), ("opt", "string")),
    "blocked": ("warn", "bool"),
    "createdAt": ("opt", "object"),
    "updatedAt": ("opt", "object"),
}
SUBSCRIPTION: dict[str, Field] = {
    "id": ("must", "int"),
    "status": ("must", "string"),
    "cycle": ("must", "int"),
    **dict.fromkeys(
        ("type", "renewalDate", "cancelDate", "skuName", "siteId", "consumerId", "eventTime", "timezone"),
        ("opt", "string"),
    ),
}
PRODUCT: dict[str, Field] = {
    **dict.fromkeys(("name", "siteId", "externalId", "title", "createdAt", "updatedAt"), ("must", "string")),
    "showOnPaymentPage": ("must", "bool"),
    "type": ("warn", "string"),
    "currency": ("opt", "string"),
    "price": ("must", "any"),
}
PRODUCT_PRICE: dict[str, Field] = {
    "amount": ("warn", "float"),
    "currency": ("must", "string"),
    "offset": ("must", "string"),
    "repeat": ("warn", "bool"),
}
SITE: dict[str, Field] = {
    **dict.fromkeys(
        ("id", "name", "externalId", "ipnUrl", "redirectUrl", "createdAt", "updatedAt"), ("must", "string")
    ),
    **dict.fromkeys(("corsEnabled", "status", "autoRedirect"), ("opt", "bool")),
    **dict.fromkeys(
        ("trackingCode", "rebillRetryPolicy", "memberExpirationDatePadding", "declineUrl", "logoBase64"),
        ("opt", "string"),
    ),
    **dict.fromkeys(("bgBodyColor", "linkColor", "textColor", "bgColor1", "bgColor2", "bgColor3"), ("opt", "string")),
    **dict.fromkeys(("textColor1", "textColor2", "textColor3"), ("opt", "string")),
}
TEST_DATA: dict[str, Field] = {
    "id": ("must", "int"),
    **dict.fromkeys(("type", "number", "createdAt", "updatedAt"), ("must", "string")),
    "transactions": ("must", "int"),
    **dict.fromkeys(("expired", "emulate3ds", "blocked"), ("must", "bool")),
    "allowedIps": ("must", "list"),
    "balance": ("warn", "float"),
    "comment": ("opt", "string"),
}
ACCOUNT: dict[str, Field] = {
    **dict.fromkeys(("method", "number", "paymentAccountId", "brand"), ("opt", "string")),
    **dict.fromkeys(("expirationMonth", "expirationYear"), ("opt", "string")),
    "disabled": ("must", "bool"),
}
TOKEN: dict[str, Field] = {"token": ("warn", "string"), "expireAt": ("warn", "int")}
LINK: dict[str, Field] = {"url": ("warn", "string"), "code": ("warn", "string")}
RATE: dict[str, Field] = {
    "iso3": ("warn", "string"), "usdPerUnit": ("warn", "float"), "unitPerUsd": ("warn", "float")
}  # fmt: skip
PAGE: dict[str, Field] = {"total": ("warn", "int"), "offset": ("warn", "int"), "limit": ("warn", "int")}

_request_ids = itertools.count(1)


class ClientError(Exception):
    """An answer of the 4xx, as the client shows it: an object with `message` and an object `errors`."""

    def __init__(self, status: int, message: str, errors: Mapping[str, Any]) -> None:
        super().__init__(f"{status} {message} {errors}")
        self.status, self.message, self.errors = status, message, errors


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a payment and to what comes after it, read by all its getters."""

    payment: dict[str, Any]
    source: dict[str, Any] | None
    consumer: dict[str, Any]
    subscription: dict[str, Any] | None
    metadata: Any


@dataclass(slots=True)
class PhpClient:
    """The client, at a base URL, with the key of a merchant. `sends_request_ids` is what its caller may have set."""

    http: httpx.AsyncClient
    key: str
    sends_request_ids: bool = True
    log: list[httpx.Response] = field(default_factory=list)

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        id_header: str | None = None,
        query: Mapping[str, Any] | None = None,
        extra: Mapping[str, str] | None = None,
    ) -> Any:
        """Send a request and return the decoded answer. Raises ClientError or PhpTypeError."""
        headers = {"Authorization": self.key, "Accept": "application/json", "User-Agent": "PHP SDK HTTP Client"}
        headers |= extra or {}
        if id_header and self.sends_request_ids:
            headers[id_header] = f"php-{next(_request_ids)}"
        content = None
        if method in {"POST", "PUT"}:
            headers["Content-Type"] = "application/json"
            content = encode([] if body is None else body)
        response = await self.http.request(method, path, content=content, params=query, headers=headers)
        self.log.append(response)
        assert response.status_code < 500, response.text
        assert response.status_code not in {301, 302, 307, 308}, "a redirect turns a POST into a GET"
        if response.status_code >= 400:
            problem = need_object(decode(response.content))
            errors = need_object(problem.get("errors"))
            raise ClientError(response.status_code, read(problem, {"message": ("must", "string")})["message"], errors)
        return decode(response.content)

    # Tokens and payments

    async def generate_card_data_token(self, **card: Any) -> dict[str, Any]:
        """Tokenize a card."""
        return await self._tokenize("/tokenize", card)

    async def generate_card_data_token_using_payment_account_id(
        self, *, payment_account_id: str, consumer_id: str, cvv: str
    ) -> dict[str, Any]:
        """Tokenize a stored card with a fresh security code."""
        body = {
            "paymentAccountId": payment_account_id,
            "consumerId": value_object(consumer_id, 5, 36),
            "cvv": value_object(cvv, 3, 4),
        }
        return await self._tokenize("/tokenizeWithPaymentAccountId", body)

    async def _tokenize(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        extra = {"X-Requested-With": "XMLHttpRequest"}
        token = read(await self.call("POST", path, dict(body), id_header=UPPER, extra=extra), TOKEN)
        value_object(token["token"], 5, 36)
        return token

    async def pay(
        self, source: Mapping[str, Any], sku: Any, *, consumer: Any = None, url: Any = None, **optional: Any
    ) -> Answer:
        """Pay. `consumer` and `url` are always sent, also when there is nothing in them."""
        body = {"paymentSource": dict(source), "sku": sku, "consumer": consumer or [], "url": url or []} | optional
        return read_answer(await self.call("POST", "/payment", body, id_header=UPPER))

    async def credit(self, transaction_id: Any, *, reason: str, amount: float | None = None) -> Answer:
        """Give money back."""
        body = {"reason": value_object(reason, 1, 255)} | ({} if amount is None else {"amount": amount})
        path = f"/payment/{value_object(transaction_id, 1, 36)}/credit"
        return read_answer(await self.call("POST", path, body, id_header=LOWER))

    async def generate_url_to_payment_page(self, skus: list[Any], **optional: Any) -> dict[str, Any]:
        """Make a link to a payment page. `fees` is always sent."""
        body = {"sku": skus, "fees": []} | optional
        return read(await self.call("POST", "/paymentPage", body, id_header=UPPER), LINK)

    async def get_chargeback_id_repaid_link(self, chargeback_id: Any) -> dict[str, Any]:
        """Return a link to repay a charge-back."""
        return read(await self.call("GET", f"/chargeback/{value_object(chargeback_id, 1, 36)}/repaidLink"), LINK)

    # Subscriptions

    async def get_subscription(self, subscription_id: Any) -> dict[str, Any]:
        """Get a subscription."""
        return read(await self.call("GET", _subscription(subscription_id), id_header=UPPER), SUBSCRIPTION)

    async def change_subscription(self, subscription_id: Any, price: list[Any] | None = None) -> dict[str, Any]:
        """Change the price, or send nothing."""
        body = {"price": price} if price else None
        return read(await self.call("PUT", _subscription(subscription_id), body, id_header=LOWER), SUBSCRIPTION)

    async def cancel_subscription(self, subscription_id: Any, **optional: Any) -> dict[str, Any]:
        """Cancel; what may be said of it is left out when it is not."""
        path = f"{_subscription(subscription_id)}/cancel"
        return read(await self.call("PUT", path, optional or None, id_header=LOWER), SUBSCRIPTION)

    async def recover_subscription(self, subscription_id: Any) -> dict[str, Any]:
        """Undo a cancellation."""
        path = f"{_subscription(subscription_id)}/recover"
        return read(await self.call("PUT", path, id_header=UPPER), SUBSCRIPTION)

    async def change_payment_account_for_subscription(
        self, subscription_id: Any, source: Mapping[str, Any], *, consumer: Any = None
    ) -> Answer:
        """Change the card. `consumer` is always sent; here the subscription has to be in the answer."""
        body = {"paymentSource": dict(source), "consumer": consumer or []}
        path = f"{_subscription(subscription_id)}/paymentAccount"
        content = need_object(await self.call("PUT", path, body, id_header=LOWER))
        need_object(content.get("subscription"))
        return read_answer(content)

    # Sites and products

    async def create_site(self, *, name: str, ipn_url: str, external_id: str, redirect_url: str) -> dict[str, Any]:
        """Make a site."""
        body = {
            "name": name,
            "ipnUrl": ipn_url,
            "externalId": value_object(external_id, 3, 64),
            "redirectUrl": redirect_url,
        }
        return read(await self.call("POST", "/site", body, id_header=LOWER), SITE)

    async def get_site(self, site_id: Any) -> dict[str, Any]:
        """Get a site."""
        return read(await self.call("GET", f"/site/{value_object(site_id, 1, 36)}", id_header=UPPER), SITE)

    async def update_site(self, site_id: Any, **changes: Any) -> dict[str, Any]:
        """Update a site."""
        path = f"/site/{value_object(site_id, 1, 36)}"
        return read(await self.call("PUT", path, changes or None, id_header=UPPER), SITE)

    async def create_product(self, *, site_id: Any, title: str, type_: str, **optional: Any) -> dict[str, Any]:
        """Make a product."""
        body = {"siteId": value_object(site_id, 5, 36), "title": title, "type": type_} | optional
        return read_product(await self.call("POST", "/sku", body, id_header=LOWER))

    async def get_product(self, name: Any) -> dict[str, Any]:
        """Get a SKU."""
        return read_product(await self.call("GET", f"/sku/{value_object(name, 5, 36)}", id_header=UPPER))

    async def update_product(
        self, name: Any, *, site_id: Any, title: str, type_: str, **optional: Any
    ) -> dict[str, Any]:
        """Update a SKU; site, title and type are always sent."""
        body = {"siteId": value_object(site_id, 5, 36), "title": title, "type": type_} | optional
        return read_product(await self.call("PUT", f"/sku/{value_object(name, 5, 36)}", body, id_header=UPPER))

    # Consumers and their cards

    async def create_consumer(self, *, external_id: str, **optional: Any) -> dict[str, Any]:
        """Make a consumer."""
        body = {"externalId": value_object(external_id, 3, 64)} | optional
        return read_consumer(await self.call("POST", "/consumer", body, id_header=LOWER))

    async def get_consumer(self, consumer_id: Any) -> dict[str, Any]:
        """Get a consumer."""
        return read_consumer(await self.call("GET", f"/consumer/{value_object(consumer_id, 1, 36)}", id_header=UPPER))

    async def change_consumer_group(self, consumer_id: Any, group_id: str | None = None) -> dict[str, Any]:
        """Put a consumer into a group, or send nothing."""
        body = {"groupId": group_id} if group_id else None
        path = f"/consumer/{value_object(consumer_id, 1, 36)}"
        return read_consumer(await self.call("PUT", path, body, id_header=LOWER))

    async def list_payment_account_ids_by_consumer_id(self, consumer_id: Any) -> list[dict[str, Any]]:
        """List a consumer's cards."""
        path = f"/consumer/{value_object(consumer_id, 1, 36)}/paymentAccounts"
        return [read(one, ACCOUNT) for one in need_list(await self.call("GET", path, id_header=UPPER))]

    async def disable_payment_account_for_quick_sale(self, payment_account_id: str) -> None:
        """Disable a stored card."""
        need_no_container(await self.call("POST", f"/paymentAccount/{payment_account_id}/disable"))

    async def enable_payment_account_for_quick_sale(self, payment_account_id: str) -> None:
        """Enable a stored card."""
        need_no_container(await self.call("POST", f"/paymentAccount/{payment_account_id}/enable"))

    # Test payment data

    async def create_test_payment_data(self, *, type_: str, **optional: Any) -> dict[str, Any]:
        """Create a test card."""
        body = {"type": type_} | optional
        return read(await self.call("POST", "/testPaymentData", body, id_header=LOWER), TEST_DATA)

    async def get_list_of_test_payment_data(self, **query: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """List test cards."""
        answer = need_object(await self.call("GET", "/testPaymentData", query=query, id_header=UPPER))
        listed = need_list(answer.get("data"))
        return [read(one, TEST_DATA) for one in listed], read(answer.get("meta"), PAGE)

    async def get_test_payment_data_by_id(self, data_id: Any) -> dict[str, Any]:
        """Get a test card."""
        return read(await self.call("GET", _test_data(data_id)), TEST_DATA)

    async def delete_test_payment_data_by_id(self, data_id: Any) -> None:
        """Delete a test card."""
        need_no_container(await self.call("DELETE", _test_data(data_id)))

    async def update_balance(self, data_id: Any, balance: float) -> dict[str, Any]:
        """Set what is on a test card."""
        return read(await self.call("PUT", f"{_test_data(data_id)}/balance", {"balance": balance}), TEST_DATA)

    async def update_allowed_ips(self, data_id: Any, ips: list[str]) -> dict[str, Any]:
        """Set the addresses of a test card, under another name than at its making."""
        return read(await self.call("PUT", f"{_test_data(data_id)}/allowedIps", {"ips": ips}), TEST_DATA)

    async def switch_test_payment_data(self, data_id: Any, switch: str, body: Any = None) -> dict[str, Any]:
        """Call `block`, `unblock`, `emulate3ds` or `notEmulate3ds`; the path decides, whatever the body says."""
        return read(await self.call("POST", f"{_test_data(data_id)}/{switch}", body), TEST_DATA)

    # The rest

    async def get_list_of_external_ips(self) -> list[str]:
        """List the addresses from which callbacks come."""
        ips = need_list(await self.call("GET", "/ips"))
        if not all(isinstance(ip, str) for ip in ips):
            raise PhpTypeError("an address is no string")
        return ips

    async def get_currency_exchange_rates(self) -> list[dict[str, Any]]:
        """List exchange rates."""
        listed = need_list(await self.call("GET", "/currency-exchange-rate", id_header=UPPER))
        return [read(one, RATE) for one in listed]

    async def get_exchange_rate_by_iso3(self, iso3: str) -> dict[str, Any]:
        """Return an exchange rate."""
        return read(await self.call("GET", f"/currency-exchange-rate/{iso3}", id_header=UPPER), RATE)

    async def get_available_channels_of_code_verification(self, phone: str) -> Mapping[str, Any]:
        """Return the ways to a phone."""
        path = f"/antifraud/verification/{_raw(phone)}"
        return need_object(await self.call("GET", path, id_header=UPPER))

    async def send_message_with_verification_code(self, channel: str, **body: Any) -> Mapping[str, Any]:
        """Send a code to a phone."""
        path = f"/antifraud/verification/{channel}/send"
        return need_object(await self.call("POST", path, body, id_header=UPPER))

    async def check_verification_code(self, phone: str, code: str) -> Mapping[str, Any]:
        """Check a code."""
        path = f"/antifraud/verification/{_raw(phone)}/{_raw(code)}"
        return need_object(await self.call("GET", path, id_header=LOWER))


def read_answer(content: Any) -> Answer:
    """Read the answer to a payment, or an IPN, by all getters: what is absent where it has to be there is an error."""
    answer = need_object(content)
    payment = read(answer.get("payment"), PAYMENT)
    if payment["timestamp"] is not None:
        payment["timestamp"] = read(payment["timestamp"], TIME)
    subscription = answer.get("subscription")
    metadata = read(answer, {"metadata": ("warn", "any")})["metadata"]
    if not isinstance(metadata, dict | list | None):
        raise PhpTypeError("metadata is a scalar")
    return Answer(
        payment=payment,
        source=None if payment["source"] is None else read(payment["source"], SOURCE),
        consumer=read_consumer(answer.get("consumer")),
        subscription=None if subscription is None else read(subscription, SUBSCRIPTION),
        metadata=metadata,
    )


def read_consumer(content: Any) -> dict[str, Any]:
    """Read a consumer; its times are objects, never strings."""
    consumer = read(content, CONSUMER)
    for name in ("createdAt", "updatedAt"):
        if consumer[name] is not None:
            consumer[name] = read(consumer[name], TIME)
    return consumer


def read_product(content: Any) -> dict[str, Any]:
    """Read a product. Its price is a number or a list of objects; a single object is a TypeError."""
    product = read(content, PRODUCT)
    if isinstance(product["price"], list):
        product["price"] = [read(price, PRODUCT_PRICE) for price in product["price"]]
    elif isinstance(product["price"], dict):
        raise PhpTypeError("price is an object")
    else:
        product["price"] = float(product["price"])
    return product


def _subscription(subscription_id: Any) -> str:
    return f"/subscription/{value_object(subscription_id, 1, 36)}"


def _test_data(data_id: Any) -> str:
    return f"/testPaymentData/{value_object(data_id, 1, 36)}"


def _raw(text: str) -> str:
    """Put a value into a path as the client's HTTP library does: spaces are encoded, `+ ( ) .` are left alone."""
    return quote(text, safe="+().")
