"""The legacy form, read by an independent reader that works as the public WooCommerce plugin."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.callbacks import make_delivery
from tests.support.payments import payment

from tollhouse.ipn.delivery.attempt import write_body
from tollhouse.ipn.form import choose_condition, choose_format
from tollhouse.ipn.message.legacy import build_xml, serialize, sign
from tollhouse.kernel.card import CardNumber
from tollhouse.payments.model import Mode, Payment, Status
from tollhouse.payments.reading.public_names import CHARGEBACK_MODES

KEY = "test-key"

scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
metadata = st.dictionaries(texts, scalars | texts | st.lists(scalars | texts, max_size=3), max_size=5)


def unserialize(content: bytes) -> Any:
    """Decode PHP's `serialize` format, independently of the encoder."""
    value, rest = _take(content)
    assert rest == b""
    return value


def _take(content: bytes) -> tuple[Any, bytes]:
    kind = content[:1]
    if kind == b"N":
        assert content[1:2] == b";"
        return None, content[2:]
    head, _, rest = content[2:].partition(b";" if kind in b"bid" else b":")
    if kind in b"bid":
        number = float(head) if kind == b"d" else int(head)
        return number == 1 if kind == b"b" else number, rest
    if kind == b"s":
        length = int(head)
        assert rest[:1] == b'"'
        assert rest[1 + length : 3 + length] == b'";'
        return rest[1 : 1 + length].decode(), rest[3 + length :]
    assert kind == b"a"
    assert rest[:1] == b"{"
    *items, rest = _take_items(rest[1:], int(head))
    return dict(items), rest


def _take_items(content: bytes, count: int) -> Iterator[Any]:
    """Yield the pairs, and then the rest after the array."""
    for _ in range(count):
        key, content = _take(content)
        value, content = _take(content)
        yield key, value
    assert content[:1] == b"}"
    yield content[1:]


def as_php(value: Any) -> Any:
    """Return decoded JSON as PHP's arrays hold it: lists by position, numeric keys as numbers."""
    if isinstance(value, list):
        return {position: as_php(child) for position, child in enumerate(value)}
    if isinstance(value, dict):
        return {int(key) if _is_number(key) else key: as_php(child) for key, child in value.items()}
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return float(value)
    return value


def _is_number(key: str) -> bool:
    """Return whether PHP's arrays convert a key to a number."""
    is_integer = key.isascii() and key.removeprefix("-").isdecimal() and str(int(key)) == key
    return is_integer and -(2**63) <= int(key) < 2**63


class Plugin:
    """The plugin's reading of a request: fields, order and result."""

    def __init__(self, body: bytes, key: str = KEY) -> None:
        fields = parse_qs(body.decode(), strict_parsing=True)
        assert set(fields) == {"ipn", "sign"}
        transaction = ET.fromstring(fields["ipn"][0].encode()).find("transaction")  # noqa: S314 - our own text
        assert transaction is not None
        self.transaction_id = transaction.attrib["id"]
        self.order_id, self.mode, self.status, self.text = (
            transaction.findtext(name, "") for name in ("orderId", "mode", "status", "responseText")
        )
        self.ustas = transaction.findtext("customer/ustas")
        self.data = unserialize(base64.b64decode(transaction.findtext("ppGetData", ""), validate=True))
        plain = f"{key}_{self.order_id}_{self.mode}_{self.status}_{key}"
        self.is_genuine = hashlib.sha1(plain.encode()).hexdigest() == fields["sign"][0]  # noqa: S324 - as it does

    @property
    def effect(self) -> str:
        """The effect on the shop's order."""
        if self.mode in ("auth", "sale", "test"):
            return {"successful": "paid", "shipped": "paid", "declined": "failed", "failed": "failed"}[self.status]
        is_back = self.mode in ("refund", "void") and self.status in ("refunded", "successful")
        return "refunded" if is_back else "nothing"


def receive(settled: Payment) -> Plugin:
    """Let the plugin read the callbacks of a payment."""
    delivery = make_delivery(
        "https://shop.example/",
        form="legacy",
        body=build_xml(settled),
        payment_id=settled.payment_id,
        kind=settled.mode.value,
        status=settled.status.value,
    )
    return Plugin(write_body(delivery, KEY))


@settings(max_examples=60)
@given(metadata, st.integers(1, 2**31))
def test_plugin_finds_its_order_in_any_metadata(given_metadata: dict[str, Any], order_id: int) -> None:
    """With any metadata the plugin accepts signature and order ID, and all metadata arrive."""
    sent = {**given_metadata, "wp_order_id": order_id}
    seen = receive(payment(metadata=json.dumps(sent), status=Status.SUCCESS, code="0"))
    assert seen.is_genuine
    assert seen.data["wp_order_id"] == order_id
    assert seen.data == as_php(sent)
    assert (seen.order_id, seen.transaction_id, seen.ustas) == ("100000000", "10000000", "c" + "0" * 24)


@pytest.mark.parametrize(
    ("mode", "status", "code", "effect"),
    [
        ("sale", "success", "0", "paid"),
        ("auth", "success", "0", "paid"),
        ("sale", "fail", "5051", "failed"),
        ("auth", "fail", "1040", "failed"),
    ],
)
def test_plugin_understands_payments(mode: str, status: str, code: str, effect: str) -> None:
    """The plugin reads approved and declined payments correctly, with the text of the decline."""
    seen = receive(payment(mode=Mode(mode), status=Status(status), code=code))
    assert (seen.is_genuine, seen.effect) == (True, effect)
    assert seen.text == ("APPROVED" if code == "0" else seen.text)
    assert seen.text


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        ("void", "success", ("void", "refunded")),
        ("refund", "success", ("refund", "refunded")),
        ("refund", "fail", ("refund", "declined")),
        ("void", "fail", ("void", "declined")),
        ("settle", "success", ("settle", "successful")),
        ("chargebackFirst", "chargeback", ("chargebackFirst", "chargeback")),
    ],
)
def test_operations_have_legacy_statuses(kind: str, status: str, words: tuple[str, str]) -> None:
    """A refund has the status `refunded`; a failed refund and a chargeback change nothing in the plugin."""
    plain = "_".join([KEY, "77", *words, KEY])
    assert sign(KEY, order_id="77", kind=kind, status=status) == hashlib.sha1(plain.encode()).hexdigest()  # noqa: S324


def test_the_published_example_is_reproduced() -> None:
    """The published example of an array is encoded byte for byte."""
    assert base64.b64encode(serialize({"wp_order_id": 123})) == b"YToxOntzOjExOiJ3cF9vcmRlcl9pZCI7aToxMjM7fQ=="


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, b"N;"),
        (True, b"b:1;"),
        (2**63 - 1, b"i:9223372036854775807;"),
        (2**63, b"d:9.223372036854776e+18;"),
        (-5.5, b"d:-5.5;"),
        ("n\u00e4", b's:3:"n\xc3\xa4";'),
        ([True, "a"], b'a:2:{i:0;b:1;i:1;s:1:"a";}'),
        ({"7": 1, "07": 2, "-0": 3}, b'a:3:{i:7;i:1;s:2:"07";i:2;s:2:"-0";i:3;}'),
        ({str(2**63 - 1): 1}, b"a:1:{i:9223372036854775807;i:1;}"),
        ({str(2**63): 1}, b'a:1:{s:19:"9223372036854775808";i:1;}'),
        ({str(-(2**63)): 1}, b"a:1:{i:-9223372036854775808;i:1;}"),
        ({str(-(2**63) - 1): 1}, b'a:1:{s:20:"-9223372036854775809";i:1;}'),
    ],
)
def test_each_type_has_its_php_form(value: Any, written: bytes) -> None:
    """Each type has PHP's form; integers beyond PHP's range are floats, as in its JSON."""
    assert serialize(value) == written


def test_php_takes_plain_data_only() -> None:
    """Other types are rejected, so no object is ever encoded."""
    with pytest.raises(TypeError):
        serialize(CardNumber("4024007179366348"))


STATUSES = ("success", "fail", "confirmed")
KINDS = ("sale", "auth", "settle", "void", "refund", "payout", "cancel", "dispute.won", "subscription.card_expiring")
#: All that the plugin gets, and how.
PLUGIN = {
    ("sale", "success"): "json",
    ("sale", "fail"): "json",
    ("auth", "success"): "json",
    ("auth", "fail"): "json",
    ("settle", "fail"): "json",
    ("void", "success"): "legacy",
    ("refund", "success"): "legacy",
}


@pytest.mark.parametrize("kind", [*KINDS, *CHARGEBACK_MODES])
@pytest.mark.parametrize("status", [*STATUSES, "chargeback", "represented", "canceled", "delayed", "recovered"])
def test_each_format_has_its_events(kind: str, status: str) -> None:
    """The plugin gets only events that it cannot misread; the legacy form has no events without a payment."""
    has_words = kind != "cancel" and "." not in kind
    assert choose_format("json", kind, status) == "json"
    assert choose_format("legacy", kind, status) == ("legacy" if has_words else None)
    assert choose_format("both", kind, status) == ("both" if has_words else "json")
    assert choose_format("none", kind, status) is None
    assert choose_format("plugin", kind, status) == PLUGIN.get((kind, status))


def test_some_events_have_conditions() -> None:
    """The plugin gets a refund if nothing is left; events unknown to public clients must be enabled by the site."""
    assert choose_condition("plugin", "refund") == "nothing_left"
    assert choose_condition("plugin", "void") is None
    assert choose_condition("json", "refund") is None
    assert choose_condition("json", "dispute.won") == choose_condition("both", "subscription.card_expiring")
    assert choose_condition("json", "dispute.won") == "asked_for"
