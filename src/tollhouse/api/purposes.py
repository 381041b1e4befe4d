"""What each call is for: the one place that says what a disabled merchant may still do.

What sells, charges or captures is refused; a call that is not listed counts as such, so that a new one cannot forget to
say what it is. What reads, gives money back or sets things up stays, for what was sold has to be seen to.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any


class Purpose(Enum):
    """The purpose of a call."""

    #: Sells, charges or captures, or makes that possible: a page, a card put on a subscription, a recovered one.
    SELLS = "sells"
    #: Gives money back or ends a subscription.
    GIVES_BACK = "gives back"
    READS = "reads"
    #: Changes what is kept, and moves no money: sites, products, consumers, callbacks, and the controls of stage.
    SETS_UP = "sets up"


#: By method and path. A GET that is not listed reads.
PURPOSES: Mapping[tuple[str, str], Purpose] = {
    ("POST", "/payment"): Purpose.SELLS,
    ("POST", "/payment/{transaction_id}/capture"): Purpose.SELLS,
    ("POST", "/paymentPage"): Purpose.SELLS,
    ("GET", "/chargeback/{chargeback_id}/repaidLink"): Purpose.SELLS,
    ("PUT", "/subscription/{subscription_id}/paymentAccount"): Purpose.SELLS,
    ("PUT", "/subscription/{subscription_id}/recover"): Purpose.SELLS,
    ("POST", "/tokenize"): Purpose.SELLS,
    ("POST", "/tokenizeWithPaymentAccountId"): Purpose.SELLS,
    # A message costs the operator, and is part of a sale.
    ("POST", "/antifraud/verification/{channel}/send"): Purpose.SELLS,
    ("POST", "/payment/{transaction_id}/void"): Purpose.GIVES_BACK,
    ("POST", "/payment/{transaction_id}/credit"): Purpose.GIVES_BACK,
    ("PUT", "/subscription/{subscription_id}/cancel"): Purpose.GIVES_BACK,
    ("POST", "/subscription/preview"): Purpose.READS,
    ("DELETE", "/stage/faults"): Purpose.SETS_UP,
    ("DELETE", "/testPaymentData/{test_data_id}"): Purpose.SETS_UP,
    ("POST", "/consumer"): Purpose.SETS_UP,
    ("POST", "/epayment/lib/paypage_api/pay.php"): Purpose.SETS_UP,
    ("POST", "/events/resend"): Purpose.SETS_UP,
    ("POST", "/paymentAccount/{payment_account_id}/disable"): Purpose.SETS_UP,
    ("POST", "/paymentAccount/{payment_account_id}/enable"): Purpose.SETS_UP,
    ("POST", "/site"): Purpose.SETS_UP,
    ("POST", "/sku"): Purpose.SETS_UP,
    ("POST", "/stage/3ds/{order_id}"): Purpose.SETS_UP,
    ("POST", "/stage/chargeback/{transaction_id}"): Purpose.SETS_UP,
    ("POST", "/stage/clock"): Purpose.SETS_UP,
    ("POST", "/stage/faults"): Purpose.SETS_UP,
    ("POST", "/testPaymentData"): Purpose.SETS_UP,
    ("POST", "/testPaymentData/{test_data_id}/block"): Purpose.SETS_UP,
    ("POST", "/testPaymentData/{test_data_id}/emulate3ds"): Purpose.SETS_UP,
    ("POST", "/testPaymentData/{test_data_id}/notEmulate3ds"): Purpose.SETS_UP,
    ("POST", "/testPaymentData/{test_data_id}/unblock"): Purpose.SETS_UP,
    ("POST", "/transaction/{transaction_id}/ipn"): Purpose.SETS_UP,
    ("PUT", "/consumer/{consumer_id}"): Purpose.SETS_UP,
    ("PUT", "/site/{site_id}"): Purpose.SETS_UP,
    ("PUT", "/sku/{name}"): Purpose.SETS_UP,
    ("PUT", "/subscription/{subscription_id}"): Purpose.SETS_UP,
    ("PUT", "/testPaymentData/{test_data_id}/allowedIps"): Purpose.SETS_UP,
    ("PUT", "/testPaymentData/{test_data_id}/balance"): Purpose.SETS_UP,
}


def purpose_of(scope: Mapping[str, Any]) -> Purpose:
    """Return the purpose of a request; of an unknown call the one that is refused first."""
    method, path = str(scope["method"]), str(scope.get("path_template", ""))
    default = Purpose.READS if method in {"GET", "HEAD"} else Purpose.SELLS
    return PURPOSES.get((method, path), default)
