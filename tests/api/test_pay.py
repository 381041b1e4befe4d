"""The payment page as browsers see it over HTTP."""

from __future__ import annotations

import asyncio
import html
import json
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import pytest_asyncio
from tests.support.cardholders import REDIRECT_URL, Answer, ServedGateway, eventually, open_served_gateway
from tests.support.clock import leap
from tests.support.issuing import number_of
from tests.support.payment_pages import CARD, PayPage, make_page, way_of
from tests.support.webshop import clone_database

from tollhouse.links.model import MAX_ATTEMPTS
from tollhouse.links.store import SWEEPS
from tollhouse.stage.demo import MERCHANT_ID, SITE_ID
from tollhouse.storage.database import Database
from tollhouse.storage.sweep import Sweeper

pytestmark = pytest.mark.asyncio(loop_scope="module")

BUNDLE = [
    {
        "siteId": str(SITE_ID),
        "title": "Premium",
        "url": {"redirectUrl": REDIRECT_URL},
        "price": [
            {"amount": 1, "currency": "EUR"},
            {"amount": 29.99, "currency": "EUR", "offset": "30d", "repeat": True},
        ],
    },
    {
        "siteId": str(SITE_ID),
        "title": "Handbook",
        "price": [{"amount": 5, "currency": "EUR", "taxes": 0.8, "taxName": "MwSt."}],
    },
]
FEES = [{"type": "processing", "items": [{"geo": "DEU", "items": [{"paymentMethod": "card", "value": 0.5}]}]}]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(postgres_dsn: str, template: str) -> AsyncIterator[ServedGateway]:
    """One gateway that is served, and its simulator, for all tests of this module."""
    async with clone_database(postgres_dsn, template) as dsn:
        database, simulated = [await Database.connect(dsn, schema=schema) for schema in ("gateway", "simulator")]
        async with open_served_gateway(database, simulated) as served:
            yield served
        await database.close()
        await simulated.close()


@pytest_asyncio.fixture(loop_scope="module")
async def page(served: ServedGateway) -> PayPage:
    """A page for a purchase of 19.99."""
    return await make_page(served)


def result_of(answer: Answer) -> dict[str, str]:
    """Return what the shop is told in its address, after what stood there before."""
    assert answer.status == 303, answer.text
    parts = urlsplit(answer.headers["Location"])
    query = dict(parse_qsl(parts.query))
    assert (parts.path, query.pop("order"), parts.fragment) == ("/thanks", "7", "top")
    return query


#: What every return says, in this order.
RETURNED = ["order_id", "ustas", "consumer_id", "sh", "is_approved", "cb_code", "cb_transaction_id"]


async def event_of(served: ServedGateway, transaction_id: Any) -> Any:
    """Return the body of the one IPN about a transaction."""
    [row] = await served.fetch("select body from event where transaction_id = $1", int(transaction_id))
    return json.loads(row["body"])


async def test_a_card_pays(served: ServedGateway, page: PayPage) -> None:
    """A valid card is charged, its consumer returns to the shop with the result, and one callback is sent."""
    result = result_of(await page.follow(await page.pay()))
    assert list(result) == RETURNED
    assert (result["is_approved"], result["cb_code"]) == ("1", "0")
    body = await event_of(served, result["cb_transaction_id"])
    assert (body["payment"]["orderId"], body["payment"]["status"]) == (result["order_id"], "success")
    assert (body["payment"]["amount"], body["payment"]["apiPaymentSource"]) == (19.99, "card")
    assert body["metadata"] == {"order": 7}
    assert (body["consumer"]["firstName"], body["consumer"]["lastName"]) == ("Jane", "Smith")
    [row] = await served.fetch(
        "select consumer ->> 'ip' as ip from payment where payment_id = $1", int(result["order_id"])
    )
    assert row["ip"] == "127.0.0.1"


async def test_long_texts_of_a_consumer_can_be_paid(served: ServedGateway) -> None:
    """Whatever texts a merchant passes on about a consumer, the prefilled page can be paid."""
    typed = dict.fromkeys(
        ("firstName", "lastName", "email", "phone", "address", "state", "city", "zip"), "\u00e4" * 255
    )
    sku = {"siteId": str(SITE_ID), "title": "T" * 255, "price": [{"amount": 19.99, "currency": "usd"}]}
    urls = {"ipnUrl": "http://127.0.0.1:9/ipn", "redirectUrl": REDIRECT_URL}
    page = await make_page(served, consumer={"externalId": "e" * 255, **typed}, sku=sku | {"url": urls})
    text = (await page.open()).text
    filled_in = {
        name: html.unescape(value) for name, value in re.findall(r'name="(holder|zip)"[^>]* value="([^"]*)"', text)
    }
    assert filled_in == {"holder": "\u00e4" * 255, "zip": "\u00e4" * 255}
    assert result_of(await page.follow(await page.pay(**filled_in)))["is_approved"] == "1"


async def test_a_paid_page_cannot_be_paid_again(page: PayPage) -> None:
    """A paid page is gone and links to the shop, and a repeated form shows the first result."""
    form = await page.form() | CARD | {"number": number_of("visa")}
    first = result_of(await page.follow(await page.send(form)))
    gone = await page.open()
    assert gone.status == 410
    assert "Payment complete" in gone.text
    assert f"cb_transaction_id={first['cb_transaction_id']}" in gone.text
    assert result_of(await page.follow(await page.send(form | {"number": number_of("mastercard")}))) == first
    assert len(await page.transactions()) == 1


async def test_another_card_after_a_decline(served: ServedGateway, page: PayPage) -> None:
    """The reason is shown above the form, and the next card is another transaction of the same order."""
    declined = await page.follow(await page.pay("decline_51"))
    assert (declined.status, declined.headers["Location"]) == (303, urlsplit(page.url).path)
    shown = await page.open()
    assert shown.status == 200
    assert "Your bank declined the card" in shown.text
    assert "Insufficient funds" in shown.text
    result = result_of(await page.follow(await page.pay("mastercard")))
    tries = await page.transactions()
    assert [row["status"] for row in tries] == ["fail", "success"]
    assert {str(row["payment_id"]) for row in tries} == {result["order_id"]}
    assert (await event_of(served, tries[0]["transaction_id"]))["payment"]["code"] == "5051"


async def test_five_declines_end_the_page(page: PayPage) -> None:
    """After five declined cards the page accepts no more, and returns its visitor with the last result."""
    for _ in range(MAX_ATTEMPTS):
        await page.pay("decline_51")
    spent = await page.open()
    assert spent.status == 410
    assert "Too many attempts" in spent.text
    assert "is_approved=0" in spent.text
    assert len(await page.transactions()) == MAX_ATTEMPTS


async def test_simultaneous_forms_are_one_charge(page: PayPage) -> None:
    """Ten simultaneous posts of one form are one charge, and all browsers get its result."""
    form = await page.form() | CARD | {"number": number_of("visa")}
    answers = await asyncio.gather(*(page.send(form) for _ in range(10)))
    results = [result_of(await page.follow(answer)) for answer in answers]
    assert all(result == results[0] for result in results)
    assert len(await page.transactions()) == 1


@pytest.mark.parametrize(
    "changes", [{"proof": "x"}, {"try": "2"}, {"try": ""}, {"proof": ""}], ids=["forged", "later", "none", "bare"]
)
async def test_a_form_needs_its_proof(page: PayPage, changes: dict[str, str]) -> None:
    """A form with another proof, or for another attempt, charges nothing."""
    answer = await page.pay(**changes)
    assert answer.status == 403
    assert await page.transactions() == []


async def test_forms_of_other_sites_are_rejected(served: ServedGateway, page: PayPage) -> None:
    """A form of another site's page is rejected, and so is the proof of another link."""
    form = await page.form() | CARD | {"number": number_of("visa")}
    assert (await page.send(form, **{"Sec-Fetch-Site": "cross-site"})).status == 403
    other = await make_page(served)
    assert (await other.send(form)).status == 403
    assert await page.transactions() == await other.transactions() == []


async def test_faults_are_shown_at_their_fields(page: PayPage) -> None:
    """An empty form shows a text at every field, and its button can be pressed again."""
    form = await page.form()
    answer = await page.send(form)
    assert answer.status == 400
    for field in ("number", "expiry", "code", "holder"):
        described = re.search(rf'<input id="{field}"[^>]* aria-invalid="true" aria-describedby="([^"]+)"', answer.text)
        assert described, answer.text
        assert f'<p class="fault" id="{described[1]}">' in answer.text
    assert await page.transactions() == []
    assert way_of(await page.send(form | CARD | {"number": number_of("visa")}))


async def test_card_data_is_never_shown_again(served: ServedGateway, page: PayPage) -> None:
    """Number and code are in no page and in no row, whatever the fault; only date and name are shown again."""
    secret = {"number": number_of("decline_51"), "code": "739", "holder": "Zebulon Quux", "expiry": "07 / 31"}
    slip = await page.pay(**secret | {"zip": "x" * 256})
    assert not re.search(rf"{secret['number']}|\b{secret['code']}\b", slip.text)
    assert all(f'value="{secret[name]}"' in slip.text for name in ("holder", "expiry"))
    pages = [await page.pay(**secret), await page.open()]
    for shown in pages:
        for text in (*secret.values(), secret["number"][:6], "07/31"):
            assert not re.search(rf"\b{text}\b", f"{shown.text} {shown.headers}")
    tables = await served.fetch("select table_name from information_schema.tables where table_schema = 'gateway'")
    for [table] in tables:
        [row] = await served.fetch(f"select string_agg(t::text, ' ') as everything from {table} t")  # noqa: S608
        assert secret["number"] not in (row["everything"] or "")


async def test_a_card_number_in_metadata_is_rejected(served: ServedGateway) -> None:
    """A page whose metadata contain the number of the card cannot be paid with it."""
    page = await make_page(served, metadata={"note": f"card 77{number_of('visa')}77"})
    assert (await page.pay()).status == 409
    assert await page.transactions() == []


async def test_an_expired_page_cannot_be_paid(served: ServedGateway, page: PayPage) -> None:
    """An expired page is gone, accepts nothing, and links to the shop."""
    form = await page.form() | CARD | {"number": number_of("visa")}
    await served.fetch(
        "update payment_link set created_at = now() - interval '2 days', expires_at = now() - interval '1 second' "
        "where digest = sha256($1)",
        page.url.rpartition("/")[2].encode(),
    )
    late = await page.open()
    assert late.status == 410
    assert "This page has expired" in late.text
    [way] = re.findall(r'href="(http://[^"]*)"', late.text)
    told = dict(parse_qsl(urlsplit(html.unescape(way)).query))
    assert set(told) == {"order", "order_id", "sh", "is_approved"}
    assert (told["order"], told["is_approved"]) == ("7", "0")
    assert (await page.follow(await page.send(form))).headers["Location"] == urlsplit(page.url).path
    assert await page.transactions() == []


async def test_a_page_expires_in_merchant_time(served: ServedGateway) -> None:
    """A virtual clock that is advanced past the page's time ends it."""
    page = await make_page(served, ttl="1h")
    await leap(served.gateway.database, 1, served.gateway.parts.clock, minutes=61)
    assert (await page.open()).status == 410
    assert (await (await make_page(served, ttl="1h")).open()).status == 200


@pytest.mark.parametrize("path", ["/pay/unknown", "/pay/unknown/done", f"/pay/{'x' * 99}", "/pay/%C3%A9"])
async def test_unknown_urls_show_a_page(served: ServedGateway, path: str) -> None:
    """An unknown URL gets a page in the browser's language."""
    answer = await served.get(path, **{"Accept-Language": "de-DE,de"})
    assert (answer.status, answer.headers["Content-Type"].partition(";")[0]) == (404, "text/html")
    assert "Zahlung nicht gefunden" in answer.text


async def test_pages_allow_only_what_they_need(page: PayPage) -> None:
    """No page may load anything from elsewhere, be framed, be cached, leak its URL, or set a cookie."""
    for shown in (await page.open(), await page.send(await page.form()), await page.pay(), await page.open()):
        rules = (rule.partition(" ") for rule in shown.headers["Content-Security-Policy"].split("; "))
        policy = {name: sources for name, _, sources in rules}
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert policy.get("script-src", "'self'") == policy["style-src"] == "'self'"
        assert policy["form-action"] in {"'self'", "'none'"}
        assert shown.headers["Cache-Control"] == "no-store"
        assert shown.headers["Referrer-Policy"] == "no-referrer"
        assert "Set-Cookie" not in shown.headers
        assert not re.search(r"""(src|action)=["']?(https?:)?//""", shown.text)


async def test_items_and_fees_are_shown_and_charged(served: ServedGateway) -> None:
    """The page lists the items, the fee for the consumer's country, and later charges; the sum is charged."""
    page = await make_page(
        served,
        sku=BUNDLE,
        fees=FEES,
        consumer={"externalId": "buyer-1", "country": "DEU"},
        template={"language": "de"},
    )
    text = (await page.open()).text.replace("\N{NO-BREAK SPACE}", " ")
    for words in (
        "Premium",
        "Handbook",
        "Bearbeitungsgebühr",
        "enthält 0,80 € MwSt.",
        "0,50 €",
        "6,50 € bezahlen",
        "29,99 €",
    ):
        assert words in text
    result = result_of(await page.follow(await page.pay()))
    body = await event_of(served, result["cb_transaction_id"])
    assert (body["payment"]["amount"], body["payment"]["currency"]) == (6.5, "EUR")
    assert body["subscription"]["status"] == "active"
    assert body["consumer"]["externalId"] == "buyer-1"


async def test_a_subscription_starts_with_the_approved_card(served: ServedGateway) -> None:
    """A declined first card starts nothing; the second starts the same subscription once, also after a challenge."""
    page = await make_page(served, sku=BUNDLE[0])
    await page.pay("decline_51")
    await page.served.come_back(way_of(await page.pay("challenge")))
    await eventually(page.transactions, lambda rows: rows[-1]["status"] == "success")
    rows = await served.fetch(
        "select status from subscription where payment_id = $1", (await page.transactions())[0]["payment_id"]
    )
    assert [row["status"] for row in rows] == ["active"]
    assert (await event_of(served, (await page.transactions())[-1]["transaction_id"]))["subscription"]["id"]


async def test_a_page_keeps_its_prices(served: ServedGateway) -> None:
    """A page sells at the SKU's price at its creation, even if the SKU changes."""
    page = await make_page(served, sku={"name": "ONE_TIME", "url": {"redirectUrl": REDIRECT_URL}})
    [before] = await served.fetch("select prices from sku where name = 'ONE_TIME'")
    await served.fetch("update sku set prices = jsonb_set(prices, '{0,amount_minor}', '99900') where name = 'ONE_TIME'")
    await page.follow(await page.pay())
    [row] = await page.transactions()
    assert row["amount_minor"] == json.loads(before["prices"])[0]["amount_minor"]
    [terms] = await served.fetch("select terms::text from payment where payment_id = $1", row["payment_id"])
    assert "ONE_TIME" in terms["terms"]


async def test_a_disabled_site_sells_nothing(served: ServedGateway, page: PayPage) -> None:
    """A page of a site that was disabled meanwhile cannot be paid."""
    form = await page.form() | CARD | {"number": number_of("visa")}
    await switch_site(served, on=False)
    try:
        assert (await page.send(form)).status == 409
    finally:
        await switch_site(served, on=True)
    assert await page.transactions() == []


async def switch_site(served: ServedGateway, *, on: bool) -> None:
    """Switch the demo's site on or off, as the API does."""
    await served.fetch("update site set is_enabled = $1 where site_id = $2", on, SITE_ID)
    served.parts.catalog.forget_site(MERCHANT_ID, SITE_ID)


async def test_3ds_can_be_requested(page: PayPage, served: ServedGateway) -> None:
    """With `secure` a card that needs none is authenticated; a failed challenge leads back to the page."""
    asked = await make_page(served, payment={"secure": True})
    assert "/3ds/" in way_of(await asked.pay("challenge_method"))
    way = way_of(await page.pay("challenge"))
    returned = await served.come_back(way, code="000000")
    await eventually(page.transactions, lambda rows: rows[-1]["status"] == "fail")
    back = await served.get(returned.headers["Location"])
    assert back.headers["Location"] == f"{page.url}/done"
    assert "The payment did not go through" in (await page.open()).text


async def test_an_open_challenge_is_continued(page: PayPage) -> None:
    """Opening the page during a challenge redirects to the challenge; nothing else can be paid meanwhile."""
    form = await page.form()
    way = way_of(await page.pay("challenge"))
    again = await page.open()
    assert (again.status, again.headers["Location"]) == (303, way)
    assert (await page.done()).status == 200
    assert way_of(await page.send(form | CARD | {"number": number_of("visa")})).endswith("/done")
    assert len(await page.transactions()) == 1


async def test_an_unknown_outcome_waits(page: PayPage) -> None:
    """While the outcome is unknown, the page waits, loads again by itself, and then continues."""
    answer = await page.pay("lost_answer")
    waiting = await page.follow(answer)
    assert waiting.status == 200
    assert f'content="2; url={urlsplit(page.url).path}/done"' in waiting.text
    assert (await page.open()).headers["Location"] == f"{urlsplit(page.url).path}/done"


async def test_stored_cards_are_the_consumers_own(served: ServedGateway) -> None:
    """A stored card is offered only to its consumer by its last digits, and charged with a typed code."""
    consumer = {"consumer": {"externalId": "regular"}}
    first = await make_page(served, **consumer)
    await first.follow(await first.pay())
    page = await make_page(served, **consumer)
    shown = await page.open()
    assert "•••• 6348" in shown.text
    form = await page.form(0)
    bare = await page.send(form)
    assert (bare.status, bare.text.count('class="fault"')) == (400, 1)
    stranger = await make_page(served, consumer={"externalId": "somebody"})
    assert "•••• 6348" not in (await stranger.open()).text
    theirs = await stranger.send(await stranger.form() | {"account": form["account"], "code": "123"})
    assert theirs.status == 400
    assert "can no longer be used" in theirs.text
    result = result_of(await page.follow(await page.send(form | {"code": "009"})))
    body = await event_of(served, result["cb_transaction_id"])
    assert body["payment"]["apiPaymentSource"] == "paymentAccountIdWithCvv"
    assert body["payment"]["source"]["paymentAccountId"] == form["account"]
    await served.fetch("update account set disabled = true where account_id = $1::text::uuid", form["account"])
    assert "•••• 6348" not in (await (await make_page(served, **consumer)).open()).text


async def test_texts_of_merchants_are_escaped(served: ServedGateway) -> None:
    """Texts of merchants are escaped; their colors are used only if they are valid."""
    page = await make_page(
        served,
        sku={"siteId": str(SITE_ID), "title": "<script>alert(1)</script>", "price": [{"amount": 1, "currency": "USD"}]},
        consumer={"firstName": '"><img src=x>'},
    )
    looks = json.dumps({"linkColor": "#ff6600", "bgBodyColor": "red;}</style><script>"})
    await served.fetch("update site set extras = $1::jsonb", looks)
    try:
        shown = await page.open()
    finally:
        await served.fetch("update site set extras = '{}'")
    assert "&lt;script&gt;alert(1)" in shown.text
    assert "<img" not in shown.text
    assert "<style>:root{--accent:#ff6600;--accent-ink:#14181f}</style>" in shown.text
    assert "style-src 'self' 'sha256-" in shown.headers["Content-Security-Policy"]


async def test_forms_are_limited(page: PayPage) -> None:
    """A link accepts twenty forms a minute, valid or not, and then names the time of the next one."""
    form = await page.form()
    statuses = [(await page.send(form)).status for _ in range(21)]
    assert statuses == [400] * 20 + [429]
    limited = await page.send(form)
    assert limited.headers["Retry-After"]
    assert "Too many attempts" in limited.text


async def test_old_links_are_deleted(served: ServedGateway, page: PayPage) -> None:
    """A month after its expiry a link is deleted; others are kept."""
    old = await make_page(served)
    await served.fetch(
        "update payment_link set created_at = now() - interval '40 days', expires_at = now() - interval '31 days' "
        "where digest = sha256($1)",
        old.url.rpartition("/")[2].encode(),
    )
    await Sweeper(served.parts.database, SWEEPS).step()
    assert ((await old.open()).status, (await page.open()).status) == (404, 200)
