"""The signature of the parameters with which a browser returns to the shop."""

from __future__ import annotations

import hashlib
import hmac

from tollhouse.payments.pages import sign_return


def test_the_signature_covers_four_values() -> None:
    """`sh` covers order, transaction, result and code; a missing value is an empty line."""
    lines = b"7\n9\n1\n0"
    result = {"order_id": "7", "cb_transaction_id": "9", "is_approved": "1", "cb_code": "0"}
    assert sign_return("key", result) == hmac.new(b"key", lines, hashlib.sha256).hexdigest()[:40]
    for name in result:
        assert sign_return("key", result | {name: "x"}) != sign_return("key", result)
    without = hmac.new(b"key", b"7\n\n0\n", hashlib.sha256).hexdigest()[:40]
    assert sign_return("key", {"order_id": "7", "is_approved": "0", "cb_code": None}) == without
