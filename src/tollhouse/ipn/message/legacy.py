"""Build the legacy form of a callback: form fields `ipn`, an XML text, and `sign`. Pure.

Listeners of this form find their own order in `ppGetData`, which is the metadata of the payment, as
PHP's `serialize` encodes it. The result creates no PHP object when it is read.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode
from xml.etree.ElementTree import Element, SubElement, tostring

from tollhouse.kernel.codes import get_code
from tollhouse.payments.model import Payment
from tollhouse.payments.reading.public_names import name_transaction

CONTENT_TYPE = "application/x-www-form-urlencoded"

#: Statuses as the legacy form names them. Chargebacks keep their names.
_STATUSES: Mapping[str, str] = {"success": "successful", "fail": "declined"}
_REFUNDED = "refunded"
_LONG_MIN, _LONG_MAX = -(2**63), 2**63 - 1
#: PHP converts such keys to integers.
_NUMERIC_KEY = re.compile(r"0|-?[1-9][0-9]{0,18}")


def name_status(kind: str, status: str) -> str:
    """Return the legacy name of a status. Modes have the same names in both forms."""
    is_given_back = kind in {"refund", "void"} and status == "success"
    return _REFUNDED if is_given_back else _STATUSES.get(status, status)


def build_xml(payment: Payment) -> bytes:
    """Build the XML about a finished payment."""
    dispute = payment.dispute
    _, kind, status = name_transaction(payment.mode, payment.status, dispute.step if dispute else None)
    root = Element("ipn")
    transaction = SubElement(root, "transaction", id=str(payment.transaction_id))
    for name, text in (
        ("orderId", str(payment.payment_id)),
        ("mode", kind),
        ("status", name_status(kind, status)),
        ("responseText", get_code(payment.code or "0").text),
        ("ppGetData", encode_metadata(payment.metadata)),
    ):
        SubElement(transaction, name).text = text
    SubElement(SubElement(transaction, "customer"), "ustas").text = payment.consumer_id
    content: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return content


def encode_metadata(metadata: str) -> str:
    """Encode the metadata of a payment, a JSON text, as PHP reads them."""
    return base64.b64encode(serialize(json.loads(metadata))).decode()


def sign(secret: str, *, order_id: str, kind: str, status: str) -> str:
    """Return the field `sign`: SHA-1 in lower-case hex, as the listeners compare it."""
    text = "_".join((secret, order_id, kind, name_status(kind, status), secret))
    return hashlib.sha1(text.encode()).hexdigest()  # noqa: S324 - required by the legacy form


def write_form(xml: bytes, signature: str) -> bytes:
    """Encode the body of the POST."""
    return urlencode({"ipn": xml, "sign": signature}).encode()


def serialize(value: Any) -> bytes:
    """Encode plain data as from `json.loads`; lists and objects are arrays. Raises TypeError for other types."""
    if isinstance(value, list):
        return _serialize_array(list(enumerate(value)))
    if isinstance(value, dict):
        return _serialize_array([(_as_key(name), child) for name, child in value.items()])
    return _serialize_scalar(value)


def _serialize_scalar(value: Any) -> bytes:
    if value is None:
        return b"N;"
    if isinstance(value, bool):
        return b"b:%d;" % value
    if isinstance(value, str):
        content = value.encode()
        return b's:%d:"%s";' % (len(content), content)
    if isinstance(value, int) and _LONG_MIN <= value <= _LONG_MAX:
        return b"i:%d;" % value
    if isinstance(value, int | float):
        return b"d:%s;" % repr(float(value)).encode()
    raise TypeError(f"PHP has no form for {type(value).__name__} here.")


def _serialize_array(items: list[tuple[int | str, Any]]) -> bytes:
    content = b"".join(serialize(key) + serialize(child) for key, child in items)
    return b"a:%d:{%s}" % (len(items), content)


def _as_key(name: str) -> int | str:
    is_number = _NUMERIC_KEY.fullmatch(name) is not None and _LONG_MIN <= int(name) <= _LONG_MAX
    return int(name) if is_number else name
