"""The payment page says what happened, in the consumer's language, and always leads back to the shop."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from html import unescape

import pytest
import pytest_asyncio
from tests.support.cardholders import PAGE_FIELDS, REDIRECT_URL, Answer, ServedGateway, eventually, open_served_gateway
from tests.support.issuing import number_of
from tests.support.payment_pages import CARD, PayPage, make_page, way_of
from tests.support.webshop import clone_database

from tollhouse.checkout.words import languages, words_of
from tollhouse.simulator.words import choose_words as bank_words
from tollhouse.storage.database import Database

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHALLENGED = "challenge"
#: A browser that would rather have English than what the merchant chose.
ENGLISH = {"Accept-Language": "en-US,en"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(postgres_dsn: str, template: str) -> AsyncIterator[ServedGateway]:
    """One gateway that is served, and its simulator, for all tests of this module."""
    async with clone_database(postgres_dsn, template) as dsn:
        database, simulated = [await Database.connect(dsn, schema=schema) for schema in ("gateway", "simulator")]
        async with open_served_gateway(database, simulated) as served:
            yield served
        await database.close()
        await simulated.close()


def language_of(page: str) -> str:
    """Return the language that a page declares."""
    found = re.search(r'<html lang="([a-z]+)"', page)
    assert found is not None
    return found[1]


async def open_challenge(served: ServedGateway, page: PayPage) -> tuple[list[Answer], str, Answer]:
    """Pay with a card that is challenged; return our pages on the way, the address of the bank, and its page."""
    sent = await page.send(await page.form() | PAGE_FIELDS | CARD | {"number": number_of(CHALLENGED)}, **ENGLISH)
    ours = await page.served.get(way_of(sent), **ENGLISH)
    acs_url, fields = ours.form()
    bank = await served.post(acs_url, fields, **ENGLISH)
    return [sent, ours], acs_url, bank


async def stop(served: ServedGateway, acs_url: str, bank: Answer) -> Answer:
    """Press Cancel at the bank and follow the browser back to our page; return the bank's last page."""
    action, fields = bank.form()
    last = await served.post(f"{acs_url.partition('/simulator')[0]}{action}", {**fields, "act": "cancel"}, **ENGLISH)
    back, fields = last.form()
    returned = await served.post(back, fields, **ENGLISH)
    assert returned.status == 303
    return last


@pytest.mark.parametrize("language", sorted(languages()))
async def test_a_canceled_challenge_in_every_language(served: ServedGateway, language: str) -> None:
    """From the form to the bank and back every page has the merchant's language; the last one says who stopped."""
    words, bank_texts = words_of(language), bank_words(language)
    page = await make_page(served, template={"language": language})
    ours, acs_url, bank = await open_challenge(served, page)
    assert bank_texts.say("cancel") in unescape(bank.text)
    assert "19" in bank.text
    last = await stop(served, acs_url, bank)
    assert bank_texts.say("canceled") in unescape(last.text)
    form = await eventually(
        lambda: page.open(**ENGLISH), lambda answer: words.say("reason_canceled") in unescape(answer.text)
    )
    assert {language_of(answer.text) for answer in (*ours, bank, last, form)} == {language}


async def test_the_timeline_says_that_the_cardholder_stopped(served: ServedGateway) -> None:
    """A challenge that was stopped is told with the element that says so, apart from one that failed."""
    page = await make_page(served)
    _, acs_url, bank = await open_challenge(served, page)
    await stop(served, acs_url, bank)
    await eventually(page.open, lambda answer: words_of("en").say("reason_canceled") in answer.text)
    [row] = await page.transactions()
    timeline = await served.get(f"/payment/{row['transaction_id']}/timeline", Authorization=served.api_key)
    assert "challengeCancel 01" in timeline.text
    assert row["code"] == "1010"


async def test_a_failed_challenge_was_not_stopped(served: ServedGateway) -> None:
    """Three wrong codes are no cancellation."""
    page = await make_page(served)
    _, acs_url, bank = await open_challenge(served, page)
    for _ in range(3):
        action, fields = bank.form()
        bank = await served.post(f"{acs_url.partition('/simulator')[0]}{action}", {**fields, "code": "000000"})
    form = await eventually(page.open, lambda answer: words_of("en").say("reason_unconfirmed") in answer.text)
    assert words_of("en").say("reason_canceled") not in form.text


@pytest.mark.parametrize("language", sorted(languages()))
@pytest.mark.parametrize(
    ("card", "reason"),
    [("decline_51", "funds"), ("decline_54", "expired"), ("decline_43", "other"), ("decline_82", "code")],
)
async def test_a_decline_has_its_reason_in_the_language_of_the_page(
    served: ServedGateway, language: str, card: str, reason: str
) -> None:
    """The consumer reads why the card was declined, without English beside it."""
    page = await make_page(served, template={"language": language})
    await page.pay(card)
    shown = await eventually(page.open, lambda answer: answer.status == 200)
    assert words_of(language).say(f"reason_{reason}") in unescape(shown.text)
    assert 'lang="en"' not in shown.text or language == "en"


async def test_an_expired_stored_card_is_not_offered(served: ServedGateway) -> None:
    """A stored card is offered until its month is over, by the merchant's time, and not taken afterwards."""
    buyer = {"consumer": {"externalId": "keeps-cards"}}
    first = await make_page(served, **buyer)
    await first.follow(await first.pay())
    page = await make_page(served, **buyer)
    form = await page.form(0)
    await set_expiry(served, form["account"], months=0)
    assert (await page.form(0))["account"] == form["account"]
    await set_expiry(served, form["account"], months=-1)
    assert "account" not in await page.form(0)
    late = await page.send(form | {"code": "123"})
    assert (late.status, words_of("en").say("fault_account") in late.text) == (400, True)
    assert await page.transactions() == []


async def set_expiry(served: ServedGateway, account_id: str, *, months: int) -> None:
    """Let a stored card expire so many months from now."""
    await served.fetch(
        "update account set expiry_month = extract(month from m), expiry_year = extract(year from m) "
        "from (select now() + make_interval(months => $2) as m) moment where account_id = $1::text::uuid",
        account_id,
        months,
    )


@pytest.mark.parametrize("changes", [{"number": "4024007179366349"}, {"code": ""}, {"zip": "1" * 256}])
async def test_a_slip_keeps_the_rest_of_the_form(served: ServedGateway, changes: dict[str, str]) -> None:
    """One faulty field leaves the others as they were typed, but for number and code, and is named."""
    page = await make_page(served)
    shown = await page.send(
        await page.form() | CARD | {"number": number_of("visa"), "expiry": "11/2031", "holder": "Zoë O'Neil"} | changes
    )
    assert shown.status == 400
    values = dict(re.findall(r'<input id="(\w+)"[^>]*? value="([^"]*)"', shown.text))
    [faulty] = changes
    kept = {"expiry": "11 / 31", "holder": "Zoë O'Neil", "zip": CARD["zip"]}
    assert {name: unescape(text) for name, text in values.items()} == {
        name: text for name, text in kept.items() if name != faulty
    }
    alert = shown.text.partition('role="alert"')[2].partition("</div>")[0]
    assert words_of("en").say(faulty) in alert


async def test_every_end_leads_to_the_shop(served: ServedGateway) -> None:
    """The form, a page that is paid, spent, run out or refused, and one without an address of its own have a link."""
    page = await make_page(served)
    assert f'href="{page.url.partition(served.base_url)[2]}/back"' in (await page.open()).text
    untried = await served.get(f"{page.url}/back")
    assert (untried.status, "is_approved=0" in untried.headers["Location"]) == (303, True)
    shown = []
    await page.follow(await page.pay())
    shown.append(await page.open())
    refused = await make_page(served, metadata={"note": f"card {number_of('visa')}7"})
    shown.append(await refused.pay())
    late = await make_page(served)
    await served.fetch(
        "update payment_link set created_at = now() - interval '2 days', expires_at = now() - interval '1 second' "
        "where digest = sha256($1)",
        late.url.rpartition("/")[2].encode(),
    )
    shown.append(await late.open())
    assert [answer.status for answer in shown] == [410, 409, 410]
    for answer in shown:
        assert f'href="{REDIRECT_URL.partition("#")[0]}&amp;order_id=' in answer.text


async def test_a_page_without_an_address_leads_to_the_site(served: ServedGateway) -> None:
    """Where the merchant named no redirectUrl, the way back is that of the site."""
    item = {"siteId": "983759353", "title": "Socks", "price": [{"amount": 1, "currency": "USD"}]}
    page = await make_page(served, sku=item)
    [url] = await served.fetch("select redirect_url from site where site_id = 983759353")
    assert url["redirect_url"]
    assert (await served.get(f"{page.url}/back")).headers["Location"].startswith(url["redirect_url"].partition("?")[0])


async def test_pages_that_know_no_payment_speak_the_browsers_language(served: ServedGateway) -> None:
    """An address that leads nowhere is answered in the language of the browser, at the bank too."""
    german = {"Accept-Language": "de-AT,de;q=0.9"}
    addresses = ("/pay/nothing", "/3ds/nothing", "/3ds/return/nothing", "/simulator/acs/challenge")
    answers = await asyncio.gather(*(served.get(address, **german) for address in addresses))
    assert {language_of(answer.text) for answer in answers} == {"de"}
