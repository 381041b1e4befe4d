"""The calls of the public PHP client and its payment sources.

A copy by hand, on purpose: what the documentation and the program say is compared with it. `client` is the client's
method in the spelling of this house; the four switches of test data share one.
"""

from __future__ import annotations

from typing import NamedTuple


class Call(NamedTuple):
    """A call; parameters of the path are written `{}`."""

    method: str
    path: str
    client: str


CALLS = (
    Call("POST", "/tokenize", "generate_card_data_token"),
    Call("POST", "/tokenizeWithPaymentAccountId", "generate_card_data_token_using_payment_account_id"),
    Call("POST", "/payment", "pay"),
    Call("POST", "/payment/{}/credit", "credit"),
    Call("POST", "/payment/applePaySession", "get_apple_pay_session"),
    Call("POST", "/payout", "payout"),
    Call("POST", "/paymentPage", "generate_url_to_payment_page"),
    Call("GET", "/subscription/{}", "get_subscription"),
    Call("PUT", "/subscription/{}", "change_subscription"),
    Call("PUT", "/subscription/{}/cancel", "cancel_subscription"),
    Call("PUT", "/subscription/{}/recover", "recover_subscription"),
    Call("PUT", "/subscription/{}/paymentAccount", "change_payment_account_for_subscription"),
    Call("POST", "/site", "create_site"),
    Call("GET", "/site/{}", "get_site"),
    Call("PUT", "/site/{}", "update_site"),
    Call("POST", "/sku", "create_product"),
    Call("GET", "/sku/{}", "get_product"),
    Call("PUT", "/sku/{}", "update_product"),
    Call("GET", "/consumer/{}/paymentAccounts", "list_payment_account_ids_by_consumer_id"),
    Call("POST", "/paymentAccount/{}/disable", "disable_payment_account_for_quick_sale"),
    Call("POST", "/paymentAccount/{}/enable", "enable_payment_account_for_quick_sale"),
    Call("POST", "/consumer", "create_consumer"),
    Call("GET", "/consumer/{}", "get_consumer"),
    Call("PUT", "/consumer/{}", "change_consumer_group"),
    Call("POST", "/testPaymentData", "create_test_payment_data"),
    Call("GET", "/testPaymentData", "get_list_of_test_payment_data"),
    Call("GET", "/testPaymentData/{}", "get_test_payment_data_by_id"),
    Call("DELETE", "/testPaymentData/{}", "delete_test_payment_data_by_id"),
    Call("PUT", "/testPaymentData/{}/balance", "update_balance"),
    Call("PUT", "/testPaymentData/{}/allowedIps", "update_allowed_ips"),
    Call("POST", "/testPaymentData/{}/block", "switch_test_payment_data"),
    Call("POST", "/testPaymentData/{}/unblock", "switch_test_payment_data"),
    Call("POST", "/testPaymentData/{}/emulate3ds", "switch_test_payment_data"),
    Call("POST", "/testPaymentData/{}/notEmulate3ds", "switch_test_payment_data"),
    Call("GET", "/ips", "get_list_of_external_ips"),
    Call("GET", "/currency-exchange-rate", "get_currency_exchange_rates"),
    Call("GET", "/currency-exchange-rate/{}", "get_exchange_rate_by_iso3"),
    Call("GET", "/antifraud/verification/{}", "get_available_channels_of_code_verification"),
    Call("POST", "/antifraud/verification/{}/send", "send_message_with_verification_code"),
    Call("GET", "/antifraud/verification/{}/{}", "check_verification_code"),
    Call("GET", "/chargeback/{}/repaidLink", "get_chargeback_id_repaid_link"),
)

SOURCES = frozenset({
    "payid", "mybank", "applePay", "consumer", "gash", "bancontact", "sofortbanking", "xone", "ideal", "token",
    "cc_token", "onlinebanking", "paysafecard", "eps", "paymentAccountId", "card", "pps", "sepa", "crypto",
    "przelewytwofour", "ach", "giropay", "paymentAccountIdWithCvv", "pix",
})  # fmt: skip

#: The sources that are cards; the others are of other kinds of money.
CARD_SOURCES = frozenset({"card", "token", "consumer", "paymentAccountId", "paymentAccountIdWithCvv", "cc_token"})

#: Of the calls, by the first step of their path: those that are about something else than cards.
OTHERS = frozenset({"/payment/applePaySession", "/payout"})
