"""The calls of the API, one function each, which builds a `Call` for a client to send.

Nested parts (`sku`, `consumer`, `url`, ...) use the names of the API reference; `tollhouse.client.sources` builds the
common ones. `request_id` is the X-Request-ID. Choose your own and store it with what you are about to do; a repeat
after a crash is then the same request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from tollhouse.client.answers import (
    ConsumerData,
    IpnRecord,
    PaymentAccount,
    PaymentPage,
    PaymentResponse,
    Preview,
    RateData,
    SiteData,
    SkuData,
    SubscriptionData,
    Token,
    UpcomingCharges,
)
from tollhouse.client.core import Call, exact, path_of

Part = Mapping[str, Any]
Amount = str | int | Decimal

XML_HTTP_REQUEST = {"X-Requested-With": "XMLHttpRequest"}


def tokenize(
    number: str,
    *,
    month: str,
    year: str,
    cvv: str | None = None,
    holder: str | None = None,
    zip_code: str | None = None,
    request_id: str | None = None,
) -> Call[Token]:
    """Create a token from a card, for one payment within 15 minutes. `month` and `year` have two digits.

    Each call creates a new token; the `request_id` is only for the logs.
    """
    card = {"number": number, "expirationMonth": month, "expirationYear": year, "cvv": cvv}
    body = {**card, "cardHolder": holder, "zip": zip_code}
    return Call("POST", "/tokenize", Token, body, headers=XML_HTTP_REQUEST, request_id=request_id)


def tokenize_account(
    payment_account_id: str, *, consumer_id: str, cvv: str, request_id: str | None = None
) -> Call[Token]:
    """Create a token from a stored card and its security code, typed again. Each call creates a new one."""
    body = {"paymentAccountId": payment_account_id, "consumerId": consumer_id, "cvv": cvv}
    path = "/tokenizeWithPaymentAccountId"
    return Call("POST", path, Token, body, headers=XML_HTTP_REQUEST, request_id=request_id)


def pay(
    *,
    source: Part,
    sku: Part | Sequence[Part],
    consumer: Part,
    url: Part | None = None,
    metadata: Part | None = None,
    email_options: Part | bool | None = None,
    request_id: str | None = None,
) -> Call[PaymentResponse]:
    """Charge a card. A decline is a response too: check `payment.status`."""
    body = {"paymentSource": source, "sku": sku, "consumer": consumer, "url": url, "metadata": metadata}
    return Call("POST", "/payment", PaymentResponse, {**body, "emailOptions": email_options}, request_id=request_id)


def payment(transaction_id: str) -> Call[PaymentResponse]:
    """Return the current state of a transaction."""
    return Call("GET", path_of("/payment/{}", transaction_id), PaymentResponse)


def timeline(transaction_id: str) -> Call[dict[str, Any]]:
    """Return the events of a payment, in order."""
    return Call("GET", path_of("/payment/{}/timeline", transaction_id), dict[str, Any])


def capture(
    transaction_id: str, *, amount: Amount | None = None, request_id: str | None = None
) -> Call[PaymentResponse]:
    """Capture an authorization, all of it or `amount`. The rest is released."""
    body = {"amount": _exact(amount)}
    return Call("POST", path_of("/payment/{}/capture", transaction_id), PaymentResponse, body, request_id=request_id)


def void(transaction_id: str, *, request_id: str | None = None) -> Call[PaymentResponse]:
    """Void an authorization."""
    return Call("POST", path_of("/payment/{}/void", transaction_id), PaymentResponse, {}, request_id=request_id)


def credit(
    transaction_id: str, *, reason: str, amount: Amount | None = None, request_id: str | None = None
) -> Call[PaymentResponse]:
    """Refund a payment: `amount`, or all that is left."""
    body = {"reason": reason, "amount": _exact(amount)}
    return Call("POST", path_of("/payment/{}/credit", transaction_id), PaymentResponse, body, request_id=request_id)


def payment_page(
    *,
    sku: Part | Sequence[Part],
    consumer: Part | None = None,
    metadata: Part | None = None,
    template: Part | None = None,
    payment: Part | None = None,
    fees: Sequence[Part] | None = None,
    ttl: str | None = None,
    email_options: Part | bool | None = None,
    request_id: str | None = None,
) -> Call[PaymentPage]:
    """Create a page on which a consumer pays, once. URLs are in `sku`'s `url`."""
    body = {"sku": sku, "consumer": consumer, "metadata": metadata, "template": template, "payment": payment}
    more = {"fees": fees, "ttl": ttl, "emailOptions": email_options}
    return Call("POST", "/paymentPage", PaymentPage, {**body, **more}, request_id=request_id)


def repaid_link(chargeback_id: str) -> Call[PaymentPage]:
    """Return the page on which a chargeback is repaid. If it was repaid, the `url` is empty and the `code` 1."""
    return Call("GET", path_of("/chargeback/{}/repaidLink", chargeback_id), PaymentPage)


def subscription(subscription_id: str) -> Call[SubscriptionData]:
    """Return the current state of a subscription."""
    return Call("GET", path_of("/subscription/{}", subscription_id), SubscriptionData)


def change_subscription(subscription_id: str, *, price: Sequence[Part]) -> Call[SubscriptionData]:
    """Set other prices for a subscription from its next charge on, which keeps its date."""
    return Call("PUT", path_of("/subscription/{}", subscription_id), SubscriptionData, {"price": price})


def cancel_subscription(
    subscription_id: str,
    *,
    at_next_rebill: bool | None = None,
    date: str | None = None,
    reason: str | None = None,
    send_email: bool | None = None,
) -> Call[SubscriptionData]:
    """End a subscription: at once, at its next rebill, or at a `date`, which is `YYYY-MM-DD hh:mm:ss` in UTC."""
    when = {"keepActiveUntilNextRebill": at_next_rebill, "cancelDate": date}
    body = {**when, "reason": reason, "sendEmail": send_email}
    return Call("PUT", path_of("/subscription/{}/cancel", subscription_id), SubscriptionData, body)


def recover_subscription(subscription_id: str) -> Call[SubscriptionData]:
    """Withdraw a cancellation, also after the end. Charges that were due meanwhile are not made."""
    return Call("PUT", path_of("/subscription/{}/recover", subscription_id), SubscriptionData, {})


def change_subscription_account(
    subscription_id: str, *, source: Part, consumer: Part | None = None, request_id: str | None = None
) -> Call[PaymentResponse]:
    """Verify another card and charge the subscription to it from then on. Check `payment.status`."""
    body = {"paymentSource": source, "consumer": consumer}
    path = path_of("/subscription/{}/paymentAccount", subscription_id)
    return Call("PUT", path, PaymentResponse, body, request_id=request_id)


def upcoming(subscription_id: str, *, limit: int | None = None) -> Call[UpcomingCharges]:
    """Return the next charges of a subscription: 12, or another number up to 366."""
    return Call("GET", path_of("/subscription/{}/upcoming", subscription_id), UpcomingCharges, query={"limit": limit})


def preview_subscription(
    *, price: Sequence[Part] | None = None, sku: str | None = None, at: str | None = None, limit: int | None = None
) -> Call[Preview]:
    """Return the charges of a sign-up for prices, or for the SKU named `sku`: those due at once, and the following."""
    what = {"price": price, "sku": {"name": sku} if sku else None}
    return Call("POST", "/subscription/preview", Preview, {**what, "at": at, "limit": limit})


def create_site(
    *,
    name: str,
    external_id: str,
    ipn_url: str,
    redirect_url: str,
    settings: Part | None = None,
    request_id: str | None = None,
) -> Call[SiteData]:
    """Create a site. `settings` are further fields by their names in the API, such as `{"delayedCapture": True}`."""
    body = {"name": name, "externalId": external_id, "ipnUrl": ipn_url, "redirectUrl": redirect_url}
    return Call("POST", "/site", SiteData, {**body, **(settings or {})}, request_id=request_id)


def site(site_id: str) -> Call[SiteData]:
    """Return a site."""
    return Call("GET", path_of("/site/{}", site_id), SiteData)


def update_site(site_id: str, changes: Part) -> Call[SiteData]:
    """Change the fields of a site that `changes` names. Others stay unchanged."""
    return Call("PUT", path_of("/site/{}", site_id), SiteData, changes)


def create_sku(
    *,
    site_id: str,
    title: str,
    kind: str,
    price: Sequence[Part] | None = None,
    amount: Amount | None = None,
    currency: str | None = None,
    external_id: str | None = None,
    request_id: str | None = None,
) -> Call[SkuData]:
    """Create a SKU, whose name the gateway chooses. `kind` is `one-time` or `subscription`."""
    body = {"siteId": site_id, "title": title, "type": kind, "externalId": external_id}
    cost = {"price": price, "amount": _exact(amount), "currency": currency}
    return Call("POST", "/sku", SkuData, {**body, **cost}, request_id=request_id)


def sku(name: str) -> Call[SkuData]:
    """Return a SKU."""
    return Call("GET", path_of("/sku/{}", name), SkuData)


def update_sku(name: str, changes: Part) -> Call[SkuData]:
    """Change a SKU. `siteId`, `title` and `type` are required."""
    return Call("PUT", path_of("/sku/{}", name), SkuData, changes)


def create_consumer(
    *,
    external_id: str,
    username: str | None = None,
    email: str | None = None,
    first_name: str | None = None,
    last_name: str | None = None,
    birthday: str | None = None,
    country: str | None = None,
    group_id: str | None = None,
    request_id: str | None = None,
) -> Call[ConsumerData]:
    """Create a consumer. `birthday` is `YYYY-MM-DD`, `country` has two or three letters."""
    body = {"externalId": external_id, "username": username, "email": email, "firstName": first_name}
    more = {"lastName": last_name, "birthday": birthday, "country": country, "groupId": group_id}
    return Call("POST", "/consumer", ConsumerData, {**body, **more}, request_id=request_id)


def consumer(consumer_id: str) -> Call[ConsumerData]:
    """Return a consumer."""
    return Call("GET", path_of("/consumer/{}", consumer_id), ConsumerData)


def update_consumer(consumer_id: str, changes: Part) -> Call[ConsumerData]:
    """Update a consumer's group: `{"groupId": "2"}` blocks payments from now on."""
    return Call("PUT", path_of("/consumer/{}", consumer_id), ConsumerData, changes)


def payment_accounts(consumer_id: str) -> Call[list[PaymentAccount]]:
    """List a consumer's stored cards."""
    return Call("GET", path_of("/consumer/{}/paymentAccounts", consumer_id), list[PaymentAccount])


def enable_account(payment_account_id: str) -> Call[None]:
    """Enable a stored card for payments."""
    return Call("POST", path_of("/paymentAccount/{}/enable", payment_account_id), None, {})


def disable_account(payment_account_id: str) -> Call[None]:
    """Disable a stored card for payments."""
    return Call("POST", path_of("/paymentAccount/{}/disable", payment_account_id), None, {})


def external_ips() -> Call[list[str]]:
    """List the addresses from which callbacks are sent."""
    return Call("GET", "/ips", list[str])


def rates() -> Call[list[RateData]]:
    """List the values of currencies in US dollars."""
    return Call("GET", "/currency-exchange-rate", list[RateData])


def rate(currency: str) -> Call[RateData]:
    """Return the value of one currency in US dollars."""
    return Call("GET", path_of("/currency-exchange-rate/{}", currency), RateData)


def verification_channels(phone: str, *, region: str | None = None) -> Call[dict[str, Any]]:
    """Return the channels through which a verification code can be sent to a phone.

    `region` is the country of a phone that is written without `+` and country code.
    """
    path = path_of("/antifraud/verification/{}", phone)
    return Call("GET", path, dict[str, Any], query={"region": region} if region else {})


def send_verification(
    channel: str, *, phone: str, region: str | None = None, sender: str | None = None
) -> Call[dict[str, Any]]:
    """Send a verification code."""
    return Call(
        "POST",
        path_of("/antifraud/verification/{}/send", channel),
        dict[str, Any],
        {"phone": phone, "region": region, "from": sender},
    )


def check_verification(phone: str, code: str, *, region: str | None = None) -> Call[dict[str, Any]]:
    """Check a verification code. It may be attempted a few times, and succeeds once."""
    path = path_of("/antifraud/verification/{}/{}", phone, code)
    return Call("GET", path, dict[str, Any], query={"region": region} if region else {})


def transaction_ipn(transaction_id: str) -> Call[IpnRecord]:
    """Return the newest delivery attempt for the callback of a transaction."""
    return Call("GET", path_of("/transaction/{}/ipn", transaction_id), IpnRecord)


def order_ipn(order_id: str) -> Call[IpnRecord]:
    """Return the newest delivery attempt for a callback of an order."""
    return Call("GET", path_of("/order/{}/ipn", order_id), IpnRecord)


def resend_ipn(transaction_id: str, *, url: str | None = None, request_id: str | None = None) -> Call[IpnRecord]:
    """Deliver the callback of a transaction again, to `url` or to its previous URL."""
    path = path_of("/transaction/{}/ipn", transaction_id)
    return Call("POST", path, IpnRecord, {"url": url}, request_id=request_id)


def resend_events(
    *,
    after: int | None = None,
    until: int | None = None,
    since: str | None = None,
    before: str | None = None,
    endpoint: str | None = None,
    only_failed: bool = True,
    request_id: str | None = None,
) -> Call[dict[str, Any]]:
    """Deliver the callbacks of a range of events again. While the response has `hasMore`, continue with its `after`."""
    given = {"after": after, "until": until, "from": since, "to": before, "endpoint": endpoint}
    body = {name: value for name, value in given.items() if value is not None} | {"onlyFailed": only_failed}
    return Call("POST", "/events/resend", dict[str, Any], body, request_id=request_id)


def events(*, after: int = 0, limit: int | None = None) -> Call[dict[str, Any]]:
    """Return the events after a sequence number, which a listener has missed."""
    return Call("GET", "/events", dict[str, Any], query={"after": after, "limit": limit})


def feed(
    *,
    order_id: str | None = None,
    transaction_id: str | None = None,
    request_id: str | None = None,
    consumer_id: str | None = None,
    external_id: str | None = None,
    site_id: str | None = None,
    status: str | None = None,
    mode: str | None = None,
    since: str | int | None = None,
    before: str | int | None = None,
    cursor: str | None = None,
    limit: int | None = None,
) -> Call[dict[str, Any]]:
    """Return transactions, newest first, filtered by the given fields. `cursor` is `meta.cursor` of a page.

    `request_id` is the X-Request-ID of the request that created a transaction. `since` and `before` are Unix seconds or
    a time of ISO 8601.
    """
    ids = {"orderId": order_id, "transactionId": transaction_id, "requestId": request_id, "consumerId": consumer_id}
    more = {"externalId": external_id, "siteId": site_id, "status": status, "mode": mode}
    page = {"from": since, "to": before, "cursor": cursor, "limit": limit}
    return Call("GET", "/feed/transactions", dict[str, Any], query={**ids, **more, **page})


def codes() -> Call[Any]:
    """Return the table of payment codes."""
    return Call("GET", "/codes", Any)


def _exact(amount: Amount | None) -> Decimal | None:
    return None if amount is None else exact(amount)
