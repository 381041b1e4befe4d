"""A shop with the public WooCommerce plugin: its requests, its reading of responses and callbacks, and its orders."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs
from xml.etree.ElementTree import fromstring

import httpx
from tests.support.php import decode, encode, is_empty, is_loosely_zero, read

#: Of the legacy form: what a pair of mode and status makes of an order.
PAID, REFUNDED, FAILED = "processing", "refunded", "failed"
LEGACY = {
    **{(mode, status): PAID for mode in ("auth", "sale", "test") for status in ("successful", "shipped")},
    **{(mode, status): REFUNDED for mode in ("refund", "void") for status in ("refunded", "successful")},
    **{(mode, status): FAILED for mode in ("auth", "sale", "test") for status in ("declined", "failed")},
}

ORDER_PAGE = "http://wordpress.example/checkout/order-received/?key=wc_order_1"


class PluginError(Exception):
    """What goes into the order's note, and in front of the buyer."""


class NotProcessed(Exception):
    """A callback got no answer that says OK."""


@dataclass(slots=True)
class Order:
    """An order of the shop. `stored` is what the plugin keeps with it."""

    number: int
    total: float
    status: str = "pending"
    note: str = ""
    stored: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Plugin:
    """The plugin in a shop: `key` is its only secret, `site_id` text from its settings."""

    http: httpx.AsyncClient
    key: str
    site_id: str
    ipn_url: str
    signing_key: str
    currency: str = "USD"
    orders: dict[int, Order] = field(default_factory=dict)

    def order(self, total: float = 19.99) -> Order:
        """Let a buyer fill a cart and go to the checkout."""
        order = Order(len(self.orders) + 101, total)
        self.orders[order.number] = order
        return order

    async def call(self, endpoint: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Any:
        """Post JSON. Only 200 and 201 with JSON in them are good. Raises PluginError."""
        sent = {"Authorization": self.key, "Content-Type": "application/json", "User-Agent": "WordPress/6.4"}
        response = await self.http.post(f"/{endpoint}", content=encode(body), headers=sent | dict(headers or {}))
        content = decode(response.content)
        if content is None:
            raise PluginError(response.reason_phrase)
        if response.status_code not in {200, 201}:
            problem = read(content, {"message": ("warn", "string"), "errors": ("warn", "any")})
            raise PluginError(problem["message"])
        return content

    async def get_token(self, number: str, expiry: str = "12 / 30", cvv: str = "123", holder: str = " ") -> str:
        """Tokenize what the buyer typed into the form; all six fields are sent, some of them empty."""
        typed = re.search(r"(0[1-9]|1[0-2]).?/.?([2-4][0-9])$", expiry)
        month, year = typed.groups() if typed else ("", "")
        body = {
            "number": number.replace(" ", ""),
            "expirationYear": year,
            "expirationMonth": month,
            "cvv": cvv,
            "cardHolder": holder,
            "zip": "",
        }
        answer = await self.call("tokenize", body, {"X-Requested-With": "XMLHttpRequest"})
        if is_empty(answer.get("token")):
            raise PluginError("no token")
        return str(answer["token"])

    async def check_out(self, order: Order, source: Mapping[str, Any], *, trial_days: int = 0) -> str:
        """Pay, and return where the buyer is sent. What fails makes the order fail. Raises PluginError."""
        body = self._payment(order, source) | {
            "sku": self._sku(order, offset=f"{trial_days}d"),
            "url": {"ipnUrl": self.ipn_url, "redirectUrl": ORDER_PAGE},
            "metadata": {"version": "2.2.5", "wp_order_id": order.number, "trial": int(bool(trial_days)),
                         "invoice_external_id": ""},
        }  # fmt: skip
        try:
            answer = await self.call("payment", body)
        except PluginError as error:
            order.status, order.note = FAILED, f"Payment gateway error. {error}"
            raise
        payment = answer["payment"]
        code = payment.get("code")
        if (not is_empty(code) and not is_loosely_zero(code)) or payment.get("status") == "fail":
            order.status, order.note = FAILED, f"Payment gateway error. {payment['description']}"
            raise PluginError(payment["description"])
        if not is_empty(answer.get("url")):
            return str(answer["url"])
        return str(payment["url"]) if payment.get("action") == "redirect" else ORDER_PAGE

    async def renew(self, order: Order, consumer_id: str) -> None:
        """Charge a renewal by the consumer's stored id; only the action tells whether it was paid."""
        body = self._payment(order, {"type": "consumer", "value": consumer_id}) | {
            "sku": self._sku(order),
            "url": {"ipnUrl": self.ipn_url, "redirectUrl": ORDER_PAGE},
            "metadata": {"version": "2.2.5", "wp_order_id": order.number, "trial": 0, "invoice_external_id": "",
                         "is_vat_included": 0},
        }  # fmt: skip
        payment = (await self.call("payment", body))["payment"]
        is_paid = (
            payment.get("transactionId") is not None
            and payment.get("code") is not None
            and is_loosely_zero(payment["code"])
            and payment.get("action") == "charge"
        )
        order.status = PAID if is_paid else FAILED

    async def get_payment_page(self, order: Order) -> str:
        """Return the address of a payment page for an order. Raises PluginError."""
        sku = self._sku(order) | {"url": {"ipnUrl": self.ipn_url, "redirectUrl": ORDER_PAGE}}
        metadata = {"version": "2.2.5", "wp_order_id": order.number, "trial": 0, "invoice_external_id": ""}
        answer = await self.call("paymentPage", {"sku": sku, "consumer": self._consumer(), "metadata": metadata})
        if is_empty(answer.get("url")):
            raise PluginError("no address")
        return str(answer["url"])

    def _payment(self, order: Order, source: Mapping[str, Any]) -> dict[str, Any]:
        del order
        return {"paymentSource": dict(source), "consumer": self._consumer()}

    def _sku(self, order: Order, *, offset: str = "0d") -> dict[str, Any]:
        price = {"offset": offset, "amount": order.total, "currency": self.currency, "repeat": False}
        return {"title": "Hat, Scarf"[:64], "siteId": self.site_id, "price": [price]}

    def _consumer(self) -> dict[str, Any]:
        """Describe the buyer as the form does: a phone as typed, numbers as texts, a country of its own table."""
        return {
            "externalId": "wp__7",
            "email": "buyer@wordpress.example",
            "firstName": "Jane",
            "lastName": "",
            "phone": "(500) 555-0006",
            "country": "FIJ",
            "city": "Suva",
            "ip": "203.0.113.45",
            "userAgent": "",
            "browserAcceptHeader": "text/html",
            "browserLanguage": "en",
            "browserJavaEnabled": True,
            "browserColorDepth": "24",
            "browserScreenHeight": "1080",
            "browserScreenWidth": "1920",
            "browserTimezone": "-5.5",
        }

    # Callbacks

    def receive(self, body: bytes, content_type: str) -> None:
        """Handle a callback in either form. Raises NotProcessed for one that is answered with NOK or not at all."""
        if content_type.startswith("application/x-www-form-urlencoded"):
            self._receive_legacy({name: values[0] for name, values in parse_qs(body.decode()).items()})
        else:
            self._receive_json(decode(body))

    def _receive_json(self, content: Any) -> None:
        payment = content["payment"]
        if payment.get("code") is None:
            raise NotProcessed("no callback of a payment")
        order = self._find(content["metadata"].get("wp_order_id"))
        if int(payment["code"]) == 0 and payment["status"] == "success":
            order.status = PAID
        else:
            order.status, order.note = FAILED, payment["description"]
        order.stored = {"consumer": content["consumer"]["id"], "transaction": payment["transactionId"]}

    def _receive_legacy(self, form: Mapping[str, str]) -> None:
        transaction = fromstring(form["ipn"]).find("transaction")  # noqa: S314 - from our own gateway
        assert transaction is not None
        texts = {name: transaction.findtext(name) or "" for name in ("orderId", "mode", "status", "ppGetData")}
        signed = "_".join((self.signing_key, texts["orderId"], texts["mode"], texts["status"], self.signing_key))
        if hashlib.sha1(signed.encode()).hexdigest() != form["sign"]:  # noqa: S324 - the form is given
            raise NotProcessed("Invalid signature")
        order = self._find(read_order_number(base64.b64decode(texts["ppGetData"])))
        becomes = LEGACY.get((texts["mode"], texts["status"]))
        if becomes is not None:
            order.status = becomes
            order.note = (transaction.findtext("responseText") or "") if becomes == FAILED else order.note
        order.stored = {"consumer": transaction.findtext("customer/ustas"), "transaction": transaction.get("id")}

    def _find(self, number: Any) -> Order:
        if number not in self.orders:
            raise NotProcessed("Empty order_id")
        return self.orders[number]


def read_order_number(serialized: bytes) -> int | None:
    """Find `wp_order_id` in what PHP's `serialize` made of an array: the lengths of its texts have to be right."""
    found = re.search(rb's:11:"wp_order_id";i:(\d+);', serialized)
    return int(found[1]) if found and serialized.startswith(b"a:") else None
