"""Subscriptions as merchants' servers read, change and end them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from tests.support.subscribing import MONTHLY, Subscriber, days_apart, read, sign_up, write_time
from tests.support.webshop import OpenShop, WebShop, card, price

from tollhouse.vault.keys import FileKeyProvider

CALLS = ("get", "put", "put /cancel", "put /recover", "put /paymentAccount", "get /upcoming")


async def refused(answer: Any, *paths: str, status: int = 400) -> dict[str, list[str]]:
    """Check a refusal: its status and that it names these fields and no others."""
    assert answer.status_code == status, answer.text
    errors: dict[str, list[str]] = answer.json()["errors"]
    assert set(errors) == set(paths), answer.text
    return errors


async def call(shop: WebShop, which: str, subscription_id: str, **request: Any) -> Any:
    """Make one of the calls with a body that is sound."""
    method, _, step = which.partition(" ")
    path = f"/subscription/{subscription_id}{step}"
    body = {"paymentSource": {"type": "card"} | card("mastercard")} if step == "/paymentAccount" else []
    return await (shop.get(path, **request) if method == "get" else shop.put(path, body, **request))


async def test_subscription_is_read(shop: WebShop) -> None:
    """A subscription is told as the sign-up told it: an id of digits, status and cycle always, dates in UTC."""
    subscriber = await sign_up(shop)
    shown = await subscriber.get()
    assert shown == subscriber.answer["subscription"]
    assert shown["id"].isdigit()
    assert (shown["status"], shown["cycle"], "cancelDate" in shown) == ("active", 0, False)
    assert shown["siteId"] == str(shop.merchant.site_id)
    assert shown["consumerId"] == subscriber.answer["consumer"]["id"]
    named = await sign_up(shop, sku={"name": "PREMIUM_MONTHLY"})
    assert (await named.get())["skuName"] == "PREMIUM_MONTHLY"


@pytest.mark.parametrize("which", CALLS)
async def test_unknown_subscription_is_404(shop: WebShop, which: str) -> None:
    """Another merchant's id is as unknown as one that was never issued, or none at all; a key is needed."""
    subscriber = await sign_up(shop)
    for missing in ("1", "0", "x", "-1", "9" * 30, "%20"):
        await refused(await call(shop, which, missing), status=404)
    theirs = await call(shop, which, subscriber.subscription_id, key=shop.other.key)
    await refused(theirs, status=404)
    assert (await call(shop, which, subscriber.subscription_id, key="x")).status_code == 401
    assert await subscriber.get() == subscriber.answer["subscription"]


async def test_no_subscription_before_its_first_payment(shop: WebShop) -> None:
    """One whose first payment waits for the cardholder is not there yet, and a declined one leaves none."""
    for source in ({"type": "card", "3ds": True} | card("challenge"), {"type": "card"} | card("decline_05")):
        answer = await shop.pay(shop.payment(source, sku=shop.sku(*MONTHLY)))
        assert "subscription" not in answer.json()
    for row in await shop.fetch("select subscription_id from subscription"):
        await refused(await shop.get(f"/subscription/{row['subscription_id']}"), status=404)


@pytest.mark.parametrize("body", [[], {}, {"price": []}, {"price": None}, {"price": ""}, {"other": 1}])
async def test_body_without_prices_changes_nothing(shop: WebShop, body: Any) -> None:
    """A body without prices leaves the subscription as it is."""
    subscriber = await sign_up(shop)
    before = await subscriber.upcoming()
    assert read(await subscriber.put(body=body)) == subscriber.answer["subscription"]
    assert await subscriber.upcoming() == before


@pytest.mark.parametrize("step", ["", "/cancel", "/recover"])
async def test_missing_body_is_accepted(shop: WebShop, step: str) -> None:
    """Clients leave the body out, and its content type with it."""
    subscriber = await sign_up(shop)
    headers = {"Authorization": shop.merchant.key}
    answer = await shop.client.put(f"{subscriber.path}{step}", headers=headers)
    assert read(answer)["status"] == ("canceled" if step == "/cancel" else "active")


async def test_new_price_applies_to_the_next_charge(shop: WebShop) -> None:
    """The next charge keeps its date and has the first new price, and the list counts on from there."""
    subscriber = await sign_up(shop)
    renewal = subscriber.answer["subscription"]["renewalDate"]
    prices = [price("5.00", offset="0d"), price(7, offset="1w", repeat="true")]
    assert read(await subscriber.put(body={"price": prices}))["renewalDate"] == renewal
    told = await subscriber.upcoming(3)
    assert [charge["amount"] for charge in told] == [5, 7, 7]
    assert [days_apart(renewal, charge["date"]) for charge in told] == [0, 7, 14]
    await subscriber.renew(days=30, minutes=1)
    assert await subscriber.charged() == [(renewal, "5.00")]


@pytest.mark.parametrize(
    ("prices", "paths"),
    [
        ([price(), price(5, offset="1x")], ["price.1.offset"]),
        (
            [price(-1), price("x", offset="30d"), price(1, "ZZZ")],
            ["price.0.amount", "price.1.amount", "price.2.currency"],
        ),
        ([price(offset="30d", repeat=True), price(offset="30d")], ["price.1"]),
        ([price(repeat=True)], ["price.0"]),
        ([price(5, "USD"), price(5, "EUR", offset="30d")], ["price.1"]),
        ([price(offset="30d")] * 21, ["price"]),
        (5, ["price"]),
    ],
)
async def test_faulty_price_is_named(shop: WebShop, prices: Any, paths: list[str]) -> None:
    """Every faulty price is named by its path, the list as a whole too, and nothing is changed."""
    subscriber = await sign_up(shop)
    before = await subscriber.upcoming()
    await refused(await subscriber.put(body={"price": prices}), *paths)
    assert await subscriber.upcoming() == before


async def test_canceled_subscription_rejects_prices(shop: WebShop) -> None:
    """What is cancelled is not changed."""
    subscriber = await sign_up(shop)
    await subscriber.put("/cancel")
    answer = await subscriber.put(body={"price": [price(offset="30d")]})
    await refused(answer)
    assert "canceled" in answer.json()["message"]


@pytest.mark.parametrize("body", [[], {}, {"sendEmail": "", "reason": None}, {"cancelDate": "2020-01-01 00:00:00"}])
async def test_cancellation_without_a_time_is_immediate(shop: WebShop, body: Any) -> None:
    """Without a time, or with one that has passed, it ends at once; saying so again changes nothing."""
    subscriber = await sign_up(shop)
    ended = read(await subscriber.put("/cancel", body))
    assert (ended["status"], "renewalDate" in ended, "cancelDate" in ended) == ("canceled", False, True)
    assert await subscriber.get() == ended == read(await subscriber.put("/cancel", body))
    assert await subscriber.upcoming() == []
    await subscriber.renew(days=31)
    assert await subscriber.charged() == []
    assert (await subscriber.events()).count("canceled") == 1


@pytest.mark.parametrize("is_wished", [True, "true", 1, "1"])
async def test_cancellation_at_the_next_charge_keeps_it_active(shop: WebShop, is_wished: Any) -> None:
    """It stays active with the end named, which is when it would be charged."""
    subscriber = await sign_up(shop)
    renewal = subscriber.answer["subscription"]["renewalDate"]
    told = read(await subscriber.put("/cancel", {"keepActiveUntilNextRebill": is_wished, "reason": "moves"}))
    assert (told["status"], told["cancelDate"]) == ("active", renewal)
    await subscriber.renew(days=30, minutes=1)
    assert (await subscriber.get())["status"] == "canceled"
    assert await subscriber.charged() == []
    [row] = await shop.fetch("select cancel_reason from subscription")
    assert row["cancel_reason"] == "moves"


@pytest.mark.parametrize("form", ["{:%Y-%m-%d %H:%M:%S}", "{:%Y-%m-%dT%H:%M:%S}Z", "{:%Y-%m-%dT%H:%M:%S.000}+00:00"])
async def test_cancellation_at_a_date_charges_until_then(shop: WebShop, form: str) -> None:
    """A date without a zone is UTC, as is said in ISO 8601 too; until then it is charged. A date counts before all."""
    subscriber = await sign_up(shop)
    at = datetime.now(UTC) + timedelta(days=45)
    told = read(await subscriber.put("/cancel", {"cancelDate": form.format(at), "keepActiveUntilNextRebill": True}))
    assert (told["status"], told["cancelDate"]) == ("active", write_time(at))
    assert len(await subscriber.upcoming()) == 1
    await subscriber.renew(days=30, minutes=1)
    await subscriber.renew(days=15)
    ended = await subscriber.get()
    assert (ended["status"], ended["cycle"], ended["cancelDate"]) == ("canceled", 1, write_time(at))


async def test_date_with_a_zone_is_converted(shop: WebShop) -> None:
    """A zone is taken for what it is."""
    subscriber = await sign_up(shop)
    told = read(await subscriber.put("/cancel", {"cancelDate": "2099-01-01T01:30:00+01:30"}))
    assert told["cancelDate"] == "2099-01-01 00:00:00"


@pytest.mark.parametrize(
    "date",
    [
        "tomorrow",
        "2026-13-01 00:00:00",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-01-01 24:00:00",
        "0001-01-01T00:00:00+10:00",
        "٢٠٢٦-01-01 00:00:00",
        1767225600,
        True,
        {"dateTime": "2026-01-01 00:00:00"},
    ],
)
async def test_malformed_date_is_rejected(shop: WebShop, date: Any) -> None:
    """What is no time is refused, with all else that is faulty, and nothing ends."""
    subscriber = await sign_up(shop)
    body = {"cancelDate": date, "reason": "x" * 256, "sendEmail": "perhaps", "keepActiveUntilNextRebill": []}
    answer = await subscriber.put("/cancel", body)
    await refused(answer, "cancelDate", "reason", "sendEmail", "keepActiveUntilNextRebill")
    assert (await subscriber.get())["status"] == "active"


async def test_reason_has_bounds(shop: WebShop) -> None:
    """A reason has 1 to 255 characters, and no card number in it."""
    subscriber = await sign_up(shop)
    await refused(await subscriber.put("/cancel", {"reason": "paid with 4024 0071 7936 6348"}), "reason")
    assert (await subscriber.get())["status"] == "active"
    assert read(await subscriber.put("/cancel", {"reason": "ä" * 255}))["status"] == "canceled"


async def test_cancellation_can_be_undone(shop: WebShop) -> None:
    """A cancellation is taken back, also after the end: then the next date of the old anchor is charged next."""
    subscriber = await sign_up(shop)
    assert read(await subscriber.put("/recover")) == subscriber.answer["subscription"]
    await subscriber.put("/cancel", {"keepActiveUntilNextRebill": True})
    assert read(await subscriber.put("/recover", {})) == subscriber.answer["subscription"]
    await subscriber.put("/cancel")
    await subscriber.renew(days=20)
    assert read(await subscriber.put("/recover")) == subscriber.answer["subscription"]
    assert (await subscriber.events())[-2:] == ["canceled", "recovered"]
    await subscriber.put("/cancel")
    await subscriber.renew(days=51)
    back = read(await subscriber.put("/recover"))
    assert (back["status"], back["cycle"], "cancelDate" in back) == ("active", 0, False)
    first = datetime.fromisoformat(subscriber.answer["subscription"]["renewalDate"])
    assert back["renewalDate"] == str(first + timedelta(days=60))
    await subscriber.renew(days=18)
    assert await subscriber.charged() == []
    await subscriber.renew(days=2)
    assert len(await subscriber.charged()) == 1


async def test_subscription_expires_if_nothing_is_left_to_charge(shop: WebShop) -> None:
    """When nothing is left to charge it expires, and is neither cancelled nor recovered nor given a card."""
    subscriber = await sign_up(shop, price(5), price(7, offset="10d"))
    assert [charge["amount"] for charge in await subscriber.upcoming()] == [7]
    await subscriber.renew(days=10, minutes=1)
    await subscriber.renew(days=10, minutes=1)
    expired = await subscriber.get()
    assert (expired["status"], expired["cycle"]) == ("expired", 1)
    assert (await subscriber.events())[-1] == "canceled"
    for answer in (
        await subscriber.put("/cancel"),
        await subscriber.put("/recover"),
        await subscriber.change_card(),
        await subscriber.put(body={"price": [price(offset="30d")]}),
    ):
        await refused(answer)
        assert "expired" in answer.json()["message"]
    assert await subscriber.upcoming() == []


async def test_subscription_without_a_charge_is_a_trial(shop: WebShop) -> None:
    """What begins without a charge is a trial until the first one is paid."""
    subscriber = await sign_up(shop, price(0), price(5, offset="3d"), price(9, offset="30d", repeat=True))
    assert (await subscriber.get())["status"] == "trial"
    await subscriber.renew(days=3, minutes=1)
    assert (await subscriber.get())["status"] == "active"
    assert (await subscriber.get())["cycle"] == 1


async def test_last_of_concurrent_changes_counts(opened: OpenShop) -> None:
    """Whatever two nodes are told at the same time, the subscription is as the last of the answers says."""
    keys = FileKeyProvider({1: bytes(range(32))}, bytes(range(32, 64)))
    first, second = await opened(keys=keys), await opened(keys=keys)
    for round_ in range(1, 6):
        subscriber = await sign_up(first)
        other = Subscriber(second, subscriber.answer)
        answers = await asyncio.gather(
            subscriber.put("/cancel"),
            other.put("/recover"),
            other.put("/cancel", {"keepActiveUntilNextRebill": True}),
            subscriber.put(body={"price": [price(3, offset="7d")]}),
        )
        assert {answer.status_code for answer in answers} <= {200, 400}
        now = await subscriber.get()
        assert now == await other.get()
        assert now in [answer.json() for answer in answers]
        assert (await subscriber.events()).count("canceled") <= round_


async def test_upcoming_charges_are_made_as_listed(shop: WebShop) -> None:
    """What a preview told before a sign-up, and a look after it, is what is charged: to the second and the cent."""
    schedule = [
        price(0),
        price(5, offset="3d"),
        price(9, offset="1m", repeat=3),
        price(19.99, offset="2w", repeat=True),
    ]
    previewed = read(await shop.post("/subscription/preview", {"price": schedule, "limit": 6}))
    assert (previewed["amount"], previewed["currency"]) == (0, "USD")
    subscriber = await sign_up(shop, *schedule)
    told = await subscriber.upcoming(6)
    assert [charge["period"] for charge in told] == [1, 2, 3, 4, 5, 6]
    assert [charge["amount"] for charge in told] == [charge["amount"] for charge in previewed["data"]]
    begun = read(await shop.post("/subscription/preview", {"price": schedule, "at": _begin_of(told), "limit": 6}))
    assert begun["data"] == told
    for earlier, later in pairwise(told):
        assert earlier["coversUntil"] == later["date"]
    for charge in told:
        now = await shop.fetch("select now() + clock_offset as now from merchant where merchant_id = 1")
        due = datetime.fromisoformat(charge["date"]).replace(tzinfo=UTC)
        await subscriber.renew(seconds=(due - now[0]["now"]).total_seconds() + 2)
    assert await subscriber.charged() == [(charge["date"], f"{charge['amount']:.2f}") for charge in told]


def _begin_of(told: list[Any]) -> str:
    """Return when a sign-up was whose first charge follows after three days."""
    return write_time(datetime.fromisoformat(told[0]["date"]).replace(tzinfo=UTC) - timedelta(days=3))


@pytest.mark.parametrize(("limit", "count"), [("", 12), ("?limit=1", 1), ("?limit=366", 366), ("?limit=", 12)])
async def test_limit_sets_the_number_of_upcoming_charges(shop: WebShop, limit: str, count: int) -> None:
    """Twelve charges are listed, or as many as are asked for, up to 366."""
    subscriber = await sign_up(shop)
    assert len(read(await shop.get(f"{subscriber.path}/upcoming{limit}"))["data"]) == count


@pytest.mark.parametrize("limit", ["0", "367", "-1", "x", "1.5", "9" * 40])
async def test_malformed_limit_is_rejected(shop: WebShop, limit: str) -> None:
    """Any other limit is refused."""
    subscriber = await sign_up(shop)
    await refused(await shop.get(f"{subscriber.path}/upcoming?limit={limit}"), "limit")
    await refused(await shop.post("/subscription/preview", {"price": [price()], "limit": limit}), "limit")


async def test_failed_charge_is_listed(shop: WebShop) -> None:
    """A charge that was declined is still due at its date, and tried again at another."""
    subscriber = await sign_up(shop)
    assert "nextTry" not in (await subscriber.upcoming())[0]
    renewal = subscriber.answer["subscription"]["renewalDate"]
    changed = await subscriber.change_card({"type": "card", "emulateCode": "0000"} | card("decline_51"))
    assert changed.json()["payment"]["status"] == "success", changed.text
    await subscriber.renew(days=30, minutes=1)
    assert (await subscriber.get())["status"] == "past_due"
    first, second = await subscriber.upcoming(2)
    assert (first["date"], days_apart(renewal, first["nextTry"])) == (renewal, 1)
    assert "nextTry" not in second


async def test_preview_creates_nothing(shop: WebShop) -> None:
    """A preview takes prices or a product, and a time; it makes nothing."""
    at = "2027-01-31 10:00:00"
    body = {"price": [price(1), price(0.5), price(9.9, offset="1m", repeat=2)], "at": at}
    told = read(await shop.post("/subscription/preview", body))
    assert (told["at"], told["amount"], told["currency"]) == (at, 1.5, "USD")
    money = {"amount": 9.9, "currency": "USD"}
    assert told["data"] == [
        {"period": 1, "date": "2027-02-28 10:00:00", "coversUntil": "2027-03-31 10:00:00"} | money,
        {"period": 2, "date": "2027-03-31 10:00:00", "coversUntil": "2027-04-30 10:00:00"} | money,
    ]
    named = read(await shop.post("/subscription/preview", {"sku": {"name": "PREMIUM_MONTHLY"}, "price": []}))
    assert (named["amount"], len(named["data"])) == (19.99, 12)
    assert read(await shop.post("/subscription/preview", {"sku": [], "price": [price(3)]}))["data"] == []
    assert await shop.fetch("select from subscription") == []


@pytest.mark.parametrize("at", ["0001-01-01 00:00:00", "9999-12-31 23:59:59"])
async def test_preview_works_at_the_ends_of_the_calendar(shop: WebShop, at: str) -> None:
    """Any time may be asked about; what would fall due after the last one is not charged."""
    monthly = [price(5), price(5, offset="100y", repeat=True)]
    told = read(await shop.post("/subscription/preview", {"price": monthly, "at": at, "limit": 100}))
    assert told["at"] == at
    assert len(told["data"]) == (99 if at < "1000" else 0)


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ([], ["price"]),
        ({"price": [price()], "sku": {"name": "ONE_TIME"}}, ["price"]),
        ({"sku": {"name": "NOT_THERE"}}, ["sku.name"]),
        ({"sku": {"name": "TECH_983759353"}}, ["sku.name"]),
        ({"sku": {"title": "x"}, "at": "soon", "limit": 400}, ["sku.name", "at", "limit"]),
        ({"price": [price(repeat=True)]}, ["price.0"]),
        ({"price": [price(amount=None)], "sku": 5}, ["price.0.amount", "sku"]),
    ],
)
async def test_faulty_preview_is_named(shop: WebShop, body: Any, paths: list[str]) -> None:
    """Prices or a product are needed, not both; each fault is named by its path."""
    await refused(await shop.post("/subscription/preview", body), *paths)


async def test_preview_needs_a_key(shop: WebShop) -> None:
    """Without a key nothing is told, and a product of another merchant is unknown."""
    body = {"sku": {"name": "PREMIUM_MONTHLY"}}
    assert (await shop.post("/subscription/preview", body, key="x")).status_code == 401
    own = await shop.post(
        "/sku",
        {"siteId": str(shop.merchant.site_id), "title": "T", "type": "one-time", "amount": 5, "currency": "USD"},
    )
    theirs = await shop.post("/subscription/preview", {"sku": {"name": own.json()["name"]}}, key=shop.other.key)
    await refused(theirs, "sku.name")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"cancelDate": ""}, "cancelDate"),
        ({"cancelDate": None}, "cancelDate"),
        ({"keepActiveUntilNextRebill": None}, "keepActiveUntilNextRebill"),
        ({"keepActiveUntilNextRebill": ""}, "keepActiveUntilNextRebill"),
        ({"canceldate": "2999-01-01 00:00:00"}, "canceldate"),
        ({"cancel_date": "2999-01-01 00:00:00", "reason": "dear"}, "cancel_date"),
    ],
)
async def test_ambiguous_cancellation_is_rejected(shop: WebShop, body: dict[str, Any], field: str) -> None:
    """A blank date, or a misspelled field where it is missing, is rejected by name, and the subscription goes on."""
    subscription_id = (await shop.pay(shop.payment(sku=shop.sku(*MONTHLY)))).json()["subscription"]["id"]
    answer = await shop.put(f"/subscription/{subscription_id}/cancel", body)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])
    misplaced = await shop.put(f"/subscription/{subscription_id}/cancel?cancelDate=2999-01-01", {})
    assert (misplaced.status_code, list(misplaced.json()["errors"])) == (400, ["cancelDate"])
    assert (await shop.get(f"/subscription/{subscription_id}")).json()["status"] == "active"


async def test_other_currencies_are_rejected(shop: WebShop) -> None:
    """The currency of a running subscription cannot change; each price in another one is named."""
    subscription_id = (await shop.pay(shop.payment(sku=shop.sku(*MONTHLY)))).json()["subscription"]["id"]
    prices = [price(5, "EUR", offset="30d"), price(6, "EUR", offset="30d", repeat=True)]
    answer = await shop.put(f"/subscription/{subscription_id}", {"price": prices})
    assert (answer.status_code, sorted(answer.json()["errors"])) == (400, ["price.0.currency", "price.1.currency"])
