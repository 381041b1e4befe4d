"""The portal: sign-in, and pages limited to the merchant of the user."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from tests.support.pages import attempt_all
from tests.support.webshop import card, consumer, open_client, price

import tollhouse.portal
from tollhouse.composition.web import build_web
from tollhouse.ipn.number import number_batch
from tollhouse.merchants.people import digest_token, ensure_user
from tollhouse.merchants.sign_in import MAX_ATTEMPTS_BY_ACCOUNT, MAX_ATTEMPTS_BY_SOURCE
from tollhouse.portal.forms import KNOWN, SESSION, build_form_token, choose_next_page, make_cookie
from tollhouse.storage.database import Database

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.webshop import OpenShop, WebShop

EMAIL = "ann@shop.example"
PASSWORD = "correct horse battery 9"
PAGES = ["/portal/payments", "/portal/keys", "/portal/sites", "/portal/sign-ins"]


class Browser:
    """A browser with cookies of its own that follows no redirect by itself."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def get(self, path: str) -> httpx.Response:
        """Open a page."""
        return await self.client.get(path)

    async def submit(self, page: httpx.Response, action: str, **fields: str) -> httpx.Response:
        """Submit the form of a page that goes to an address, filled in."""
        form = re.search(rf'<form[^>]*action="{action}".*?</form>', page.text, re.DOTALL)
        assert form, page.text
        hidden = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', form[0])
        return await self.client.post(action, data={name: unescape(value) for name, value in hidden} | fields)

    async def sign_in(
        self, email: str = EMAIL, password: str = PASSWORD, path: str = "/portal/sign-in"
    ) -> httpx.Response:
        """Open the sign-in page and submit it."""
        return await self.submit(await self.get(path), "/portal/sign-in", email=email, password=password)


@pytest.fixture
async def portal(shop: WebShop) -> WebShop:
    """An application with a user of either merchant."""
    async with shop.gateway.database.acquire() as connection:
        await ensure_user(connection, merchant_id=1, email=EMAIL, password=PASSWORD)
        await ensure_user(connection, merchant_id=2, email="bob@other.example", password=PASSWORD)
    return shop


@pytest.fixture
async def browser(portal: WebShop) -> AsyncIterator[Browser]:
    """A browser that is not signed in."""
    async with open_client(portal.web) as client:
        yield Browser(client)


@pytest.fixture
async def ann(browser: Browser) -> Browser:
    """A browser in which Ann of the first merchant is signed in."""
    assert (await browser.sign_in()).status_code == 303
    return browser


async def test_pages_redirect_to_the_sign_in_form(browser: Browser) -> None:
    """Without a session every page redirects to the sign-in form, which leads back to the page."""
    for path in (*PAGES, "/portal", "/portal/payments/10000000", "/portal/payments?status=fail"):
        browser.client.cookies.clear()
        answer = await browser.get(path)
        assert answer.status_code == 303, path
        assert answer.headers["location"].startswith("/portal/sign-in?next_page=")
        entered = await browser.sign_in(path=answer.headers["location"])
        assert entered.headers["location"] == ("/portal/payments" if path == "/portal" else path)


async def test_session_cookie_is_hidden_from_scripts_and_other_sites(browser: Browser, portal: WebShop) -> None:
    """The session cookie is HttpOnly and SameSite=Lax, ends with the browser, and only its hash is stored."""
    answer = await browser.sign_in()
    [cookie] = [one for one in answer.headers.get_list("set-cookie") if one.startswith(f"{SESSION}=")]
    assert {"HttpOnly", "SameSite=lax", "Path=/portal"} <= {part.strip() for part in cookie.split(";")}
    assert "max-age" not in cookie.lower()
    token = browser.client.cookies[SESSION]
    [row] = await portal.fetch("select digest from portal_session")
    assert row["digest"] == digest_token(token)


def test_cookies_are_secure_over_tls() -> None:
    """A portal that is reached over https sets cookies that are never sent without TLS."""
    assert make_cookie("name", "value", is_secure=True).endswith("; Secure")
    assert "Secure" not in make_cookie("name", "value", is_secure=False)


async def test_each_sign_in_has_a_new_session(browser: Browser) -> None:
    """A cookie from before the sign-in is never the session cookie after it."""
    browser.client.cookies.set(SESSION, "chosen-by-somebody", domain="gateway.example", path="/portal")
    held = ["chosen-by-somebody"]
    for _ in range(2):
        await browser.sign_in()
        held.append(browser.client.cookies[SESSION])
    assert len(set(held)) == 3


async def test_unknown_email_and_wrong_password_get_equal_responses(browser: Browser) -> None:
    """Responses do not reveal which email addresses are known."""
    wrong = await browser.sign_in(password="wrong")
    unknown = await browser.sign_in(email="nobody@shop.example")
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.text.replace(EMAIL, "") == unknown.text.replace("nobody@shop.example", "")
    assert SESSION not in browser.client.cookies


async def test_email_ignores_case_and_blanks(browser: Browser) -> None:
    """Case and blanks around an email address do not matter."""
    assert (await browser.sign_in(email=f" {EMAIL.upper()} ")).status_code == 303


async def test_ten_wrong_passwords_lock_the_account(browser: Browser, portal: WebShop) -> None:
    """After ten wrong passwords the right one is rejected too, with the same text, for half an hour."""
    answers = [await browser.sign_in(password="wrong") for _ in range(MAX_ATTEMPTS_BY_ACCOUNT)]
    locked = await browser.sign_in()
    assert locked.status_code == 401
    assert locked.text == answers[0].text
    rows = await portal.fetch("select ends_at - now() as left from sign_in_budget where used > allowed")
    assert [29 * 60 < row["left"].total_seconds() <= 30 * 60 for row in rows] == [True]
    await portal.execute("update sign_in_budget set ends_at = now()")
    assert (await browser.sign_in(password="wrong")).status_code == 401
    assert (await browser.sign_in()).status_code == 303


async def test_unknown_accounts_lock_too(browser: Browser) -> None:
    """The eleventh attempt gets the same response whether or not the account exists."""
    for email in (EMAIL, "nobody@shop.example"):
        answers = [await browser.sign_in(email=email, password="wrong") for _ in range(MAX_ATTEMPTS_BY_ACCOUNT + 1)]
        assert {(answer.status_code, answer.text) for answer in answers} == {(401, answers[0].text)}


async def test_simultaneous_attempts_count(browser: Browser, portal: WebShop) -> None:
    """Twenty simultaneous attempts lock like ten in a row."""
    door = await browser.get("/portal/sign-in")
    await asyncio.gather(*(browser.submit(door, "/portal/sign-in", email=EMAIL, password="wrong") for _ in range(20)))
    assert (await browser.sign_in()).status_code == 401
    rows = await portal.fetch("select is_accepted from sign_in")
    assert [row["is_accepted"] for row in rows] == [False] * MAX_ATTEMPTS_BY_ACCOUNT


async def test_success_resets_the_count(browser: Browser, portal: WebShop) -> None:
    """A right password resets the count and returns the attempts to the budget of its source."""
    for _ in range(MAX_ATTEMPTS_BY_ACCOUNT - 1):
        await browser.sign_in(password="wrong")
    assert (await browser.sign_in()).status_code == 303
    rows = await portal.fetch("select used from sign_in_budget")
    assert [row["used"] for row in rows] == [MAX_ATTEMPTS_BY_ACCOUNT - 1]


async def test_a_lock_covers_one_user(browser: Browser) -> None:
    """Attempts of one user do not count for another."""
    for _ in range(MAX_ATTEMPTS_BY_ACCOUNT):
        await browser.sign_in(password="wrong")
    assert (await browser.sign_in(email="bob@other.example")).status_code == 303


async def test_others_cannot_lock_the_owner_out(ann: Browser, portal: WebShop) -> None:
    """However many wrong passwords others send, a browser in which the owner signed in before can sign in."""
    await ann.submit(await ann.get("/portal/payments"), "/portal/sign-out")
    async with open_client(portal.web) as client:
        stranger = Browser(client)
        for _ in range(MAX_ATTEMPTS_BY_ACCOUNT + 1):
            await stranger.sign_in(password="wrong")
        assert (await stranger.sign_in()).status_code == 401
        await portal.execute("update sign_in_budget set used = allowed")
        assert (await stranger.sign_in()).status_code in {401, 429}
    assert (await ann.sign_in()).status_code == 303


async def test_a_known_browser_has_its_own_budget(ann: Browser) -> None:
    """A browser known to an account has ten attempts there, and is unknown to other accounts."""
    answers = [await ann.sign_in(password="wrong") for _ in range(MAX_ATTEMPTS_BY_ACCOUNT)]
    assert {answer.status_code for answer in answers} == {401}
    assert (await ann.sign_in()).status_code == 401
    assert (await ann.sign_in(email="bob@other.example")).status_code == 303


@pytest.mark.parametrize("change", [lambda text: text[:-1] + "0", lambda text: "x" + text[1:], lambda _: "." * 87])
async def test_a_forged_browser_cookie_is_ignored(ann: Browser, portal: WebShop, change: Callable[[str], str]) -> None:
    """A forged cookie of a known browser, or that of another account, gives no budget."""
    cookie = ann.client.cookies[KNOWN]
    forged = change(cookie) if change(cookie) != cookie else change(cookie)[:-1] + "1"
    async with open_client(portal.web) as client:
        stranger = Browser(client)
        for _ in range(MAX_ATTEMPTS_BY_ACCOUNT):
            await stranger.sign_in(password="wrong")
        client.cookies.set(KNOWN, forged, domain="gateway.example", path="/portal")
        assert (await stranger.sign_in()).status_code == 401


async def test_browser_cookie_reveals_nothing(browser: Browser) -> None:
    """It is hidden from scripts and other sites, lasts half a year, and contains neither account nor password."""
    answer = await browser.sign_in()
    [cookie] = [one for one in answer.headers.get_list("set-cookie") if one.startswith(f"{KNOWN}=")]
    parts = {part.strip() for part in cookie.split(";")}
    assert {"HttpOnly", "SameSite=lax", "Path=/portal", f"Max-Age={180 * 86_400}"} <= parts
    assert "ann" not in cookie
    first = browser.client.cookies[KNOWN]
    await browser.sign_in()
    assert browser.client.cookies[KNOWN] == first


async def test_one_address_cannot_try_many_accounts(portal: WebShop) -> None:
    """An address that tries a password on 150 accounts is stopped before the last; others sign in meanwhile."""
    async with open_client(portal.web, address="198.51.100.7") as client:
        spray = Browser(client)
        door = await spray.get("/portal/sign-in")
        answers = [
            await spray.submit(door, "/portal/sign-in", email=f"user{n}@shop.example", password="Summer2026")
            for n in range(150)
        ]
        statuses = [answer.status_code for answer in answers]
        assert statuses == [401] * MAX_ATTEMPTS_BY_SOURCE + [429] * (150 - MAX_ATTEMPTS_BY_SOURCE)
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 30 * 60
        assert (await spray.sign_in()).status_code == 429
    async with open_client(portal.web, address="198.51.100.8") as client:
        assert (await Browser(client).sign_in()).status_code == 303


async def test_an_ipv6_network_is_one_source(portal: WebShop) -> None:
    """All addresses of one IPv6 network share a budget."""
    await portal.execute("truncate sign_in_budget")
    for n in range(3):
        async with open_client(portal.web, address=f"2001:db8::{n + 1}") as client:
            await Browser(client).sign_in(email=f"user{n}@shop.example", password="wrong")
    rows = await portal.fetch("select used from sign_in_budget order by used")
    assert [row["used"] for row in rows] == [1, 1, 1, 3]


async def test_eighty_simultaneous_sign_ins_are_served(portal: WebShop, ann: Browser) -> None:
    """Eighty wrong passwords wait in a queue, and other users sign in meanwhile, from known browsers or not."""
    async with (
        open_client(portal.web, address="198.51.100.7") as flooding,
        open_client(portal.web, address="198.51.100.8") as other,
    ):
        flood, bob = Browser(flooding), Browser(other)
        doors = [await one.get("/portal/sign-in") for one in (flood, bob, ann)]
        tries = [
            flood.submit(doors[0], "/portal/sign-in", email=f"user{n}@shop.example", password="wrong")
            for n in range(80)
        ]
        flooded = asyncio.gather(*tries)
        honest = await asyncio.gather(
            bob.submit(doors[1], "/portal/sign-in", email="bob@other.example", password=PASSWORD),
            ann.submit(doors[2], "/portal/sign-in", email=EMAIL, password=PASSWORD),
        )
        assert [answer.status_code for answer in honest] == [303, 303]
        assert {answer.status_code for answer in await flooded} == {401}


async def test_the_list_is_filtered_by_days(portal: WebShop, ann: Browser) -> None:
    """Days are compared with the time that the list shows, which for a refund is its own; chargebacks have a status."""
    paid = (await portal.pay()).json()["payment"]["transactionId"]
    refund = (await portal.post(f"/payment/{paid}/credit", {"reason": "Late", "amount": 1})).json()["payment"]
    taken = (await portal.post(f"/stage/chargeback/{paid}", {"amount": 50})).json()["payment"]
    await portal.execute(
        "update transaction set created_at = created_at - interval '9 days',"
        " finished_at = finished_at - interval '9 days' where transaction_id = $1",
        int(paid),
    )
    today = refund["timestamp"]["dateTime"][:10]
    page = (await ann.get(f"/portal/payments?from={today}&to={today}")).text
    assert [each in page for each in (refund["transactionId"], taken["transactionId"], paid)] == [True, True, False]
    assert "refund" in page
    assert paid in (await ann.get("/portal/payments?to=2999-12-31")).text
    assert paid in (await ann.get("/portal/payments?from=nonsense")).text
    backs = (await ann.get("/portal/payments?status=chargeback")).text
    assert [each in backs for each in (taken["transactionId"], refund["transactionId"])] == [True, False]
    sheet = (await ann.get(f"/portal/payments/{taken['transactionId']}")).text
    assert "31.01 USD exceeds the remaining amount of the payment" in sheet


async def test_sign_ins_are_shown_and_logged(
    portal: WebShop, browser: Browser, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sign-ins and wrong passwords are in the portal and in the log with their addresses, without any password."""
    await browser.sign_in(password="wrong-secret")
    await browser.sign_in(email="another-secret", password="wrong-secret")
    await browser.sign_in()
    page = (await browser.get("/portal/sign-ins")).text
    rows = re.findall(r"<td>([^<]*@[^<]*)</td><td class=\"mono\">([^<]*)</td><td>([^<]*)</td>", page)
    assert rows == [(EMAIL, "127.0.0.1", "signed in"), (EMAIL, "127.0.0.1", "wrong password")]
    lines = [line for line in capsys.readouterr().out.splitlines() if "sign_in." in line]
    assert [("sign_in.rejected" in line, "user_id=" in line) for line in lines] == [
        (True, True),
        (True, False),
        (False, True),
    ]
    assert all("127.0.0.1" in line for line in lines)
    stored = [await portal.fetch(f"select * from {table}") for table in ("sign_in", "sign_in_budget")]  # noqa: S608
    for secret in ("wrong-secret", "another-secret", PASSWORD):
        assert secret not in f"{lines}{page}{stored}"
    async with open_client(portal.web) as client:
        bob = Browser(client)
        await bob.sign_in(email="bob@other.example")
        assert EMAIL not in (await bob.get("/portal/sign-ins")).text


async def test_a_form_of_another_site_does_not_sign_in(browser: Browser, portal: WebShop) -> None:
    """A form without the token of this browser begins no session, and does not count as an attempt."""
    await browser.get("/portal/sign-in")
    for token in ("", "0" * 64, "é"):
        fields = {"email": EMAIL, "password": PASSWORD, "form_token": token}
        answer = await browser.client.post("/portal/sign-in", data=fields)
        assert answer.status_code == 403, token
    assert SESSION not in browser.client.cookies
    assert not await portal.fetch("select from sign_in_budget")


async def test_a_form_of_another_browser_does_not_sign_in(browser: Browser, portal: WebShop) -> None:
    """The token of one browser is invalid in another."""
    async with open_client(portal.web) as other:
        page = await other.get("/portal/sign-in")
    await browser.get("/portal/sign-in")
    assert (await browser.submit(page, "/portal/sign-in", email=EMAIL, password=PASSWORD)).status_code == 403


async def test_users_of_a_disabled_merchant_can_read(portal: WebShop, browser: Browser) -> None:
    """A user of a disabled merchant signs in, reads every page, and finds earlier sales."""
    paid = (await portal.pay()).json()["payment"]["transactionId"]
    await portal.execute("update merchant set state = 'disabled' where merchant_id = 1")
    assert (await browser.sign_in()).status_code == 303
    assert {(await browser.get(path)).status_code for path in PAGES} == {200}
    assert paid in (await browser.get("/portal/payments")).text
    assert (await browser.get(f"/portal/payments/{paid}")).status_code == 200


async def test_signing_out_ends_the_session(ann: Browser, portal: WebShop) -> None:
    """After signing out, the cookie is invalid, also in a copy."""
    token = ann.client.cookies[SESSION]
    answer = await ann.submit(await ann.get("/portal/payments"), "/portal/sign-out")
    assert answer.headers["location"] == "/portal/sign-in"
    async with open_client(portal.web) as other:
        other.cookies.set(SESSION, token, path="/portal")
        assert (await other.get("/portal/payments")).status_code == 303


async def test_signing_out_needs_the_form_token(ann: Browser) -> None:
    """Another site cannot sign a user out."""
    assert (await ann.client.post("/portal/sign-out")).status_code == 403
    assert (await ann.get("/portal/payments")).status_code == 200


async def test_sessions_end(ann: Browser, portal: WebShop) -> None:
    """A session ends after 15 minutes without a request, and after 12 hours in any case."""
    for column, age, status in (
        ("seen_at", "14 minutes", 200),
        ("created_at", "11 hours", 200),
        ("created_at", "12 hours", 303),
        ("created_at", "0 hours", 200),
        ("seen_at", "15 minutes", 303),
    ):
        await portal.execute(f"update portal_session set {column} = now() - '{age}'::interval")  # noqa: S608 - our words
        assert (await ann.get("/portal/payments")).status_code == status, (column, age)


async def test_a_request_extends_the_session(ann: Browser, portal: WebShop) -> None:
    """Each request starts the fifteen minutes again."""
    await portal.execute("update portal_session set seen_at = now() - '10 minutes'::interval")
    await ann.get("/portal/payments")
    [row] = await portal.fetch("select now() - seen_at as idle from portal_session")
    assert row["idle"].total_seconds() < 60


async def test_pages_use_the_connections_of_readers(portal: WebShop, database_dsn: str) -> None:
    """While searches use every connection of the readers, a page is 503, and payments continue."""
    readers = await Database.connect(database_dsn, schema="gateway", max_size=1)
    pools = replace(portal.gateway.pools, readers=readers)
    web = build_web(replace(portal.gateway, pools=pools), portal.simulator)
    async with open_client(web) as client:
        ann = Browser(client)
        assert (await ann.sign_in()).status_code == 303
        async with readers.acquire():
            pages = [asyncio.create_task(ann.get(path)) for path in PAGES]
            answer = await client.post(
                "/payment", json=portal.payment(), headers={"Authorization": portal.merchant.key}
            )
            assert answer.json()["payment"]["status"] == "success"
            assert [page.status_code for page in await asyncio.gather(*pages)] == [503] * len(PAGES)
    await readers.close()


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example/portal/payments",
        "//evil.example",
        "/portal//evil.example",
        "/portal/sign-out",
        "/portal/payments/1\r\nSet-Cookie: a=b",
        "/portal/payments/../../docs",
    ],
)
def test_signing_in_redirects_only_within_the_portal(path: str) -> None:
    """Signing in redirects to a page of the portal, whatever `next_page` is."""
    assert choose_next_page(path) == "/portal/payments"


async def test_payments_are_listed_newest_first(ann: Browser, portal: WebShop) -> None:
    """The list has date, amount, status, order, card and customer, the newest payment first."""
    first = (await portal.pay(portal.payment(sku=portal.sku(price(12)), consumer=consumer(email="a@x.example")))).json()
    second = (await portal.pay(portal.payment({"type": "card"} | card("decline_51")))).json()
    page = unescape((await ann.get("/portal/payments")).text)
    assert "12.00 USD" in page
    assert "a@x.example" in page
    assert "Insufficient funds" in page
    assert page.index(second["payment"]["orderId"]) < page.index(first["payment"]["orderId"])
    assert "4024007179366348" not in page


async def test_the_list_can_be_filtered(ann: Browser, portal: WebShop) -> None:
    """Status, order ID and email filter the list, alone and together."""
    good = (await portal.pay(portal.payment(consumer=consumer(email="Good@x.example")))).json()["payment"]["orderId"]
    bad = (await portal.pay(portal.payment({"type": "card"} | card("decline_51")))).json()["payment"]["orderId"]

    async def shown(query: str) -> set[str]:
        page = (await ann.get(f"/portal/payments?{query}")).text
        return {order for order in (good, bad) if f">{order}<" in page}

    assert await shown("") == {good, bad}
    assert await shown("status=success") == {good}
    assert await shown("status=fail") == {bad}
    assert await shown("status=pending") == set()
    assert await shown("status=nonsense") == {good, bad}
    assert await shown(f"order={bad}") == {bad}
    assert await shown(f"order={bad}&status=success") == set()
    assert await shown("email=good@X.example") == {good}
    assert await shown("order=abc") == set()
    assert await shown(f"order={10**30}") == set()
    assert await shown("email=%00") == {good, bad}


async def test_the_list_has_pages(ann: Browser, portal: WebShop) -> None:
    """A page has fifty payments, and every payment is on exactly one page, even if new ones begin meanwhile."""
    orders = [(await portal.pay()).json()["payment"]["orderId"] for _ in range(53)]
    first = (await ann.get("/portal/payments?status=success")).text
    await portal.pay()
    older = re.search(r'rel="next" href="([^"]+)"', first)
    assert older
    second = (await ann.get(unescape(older[1]))).text
    assert "status=success" in older[1]
    seen = [re.findall(r'<td class="num order"><a[^>]*>(\d+)<', page) for page in (first, second)]
    assert list(map(len, seen)) == [50, 3]
    assert seen[0] + seen[1] == orders[::-1]


async def test_an_invalid_cursor_is_the_start(ann: Browser) -> None:
    """An invalid cursor shows the first page and no error."""
    for cursor in ("x", "1-2", "9-9-99999999999999999999", "-1-1-1", "99999999999999999-1-1"):
        assert (await ann.get(f"/portal/payments?cursor={cursor}")).status_code == 200, cursor


async def test_a_payment_shows_why_it_failed(ann: Browser, portal: WebShop) -> None:
    """The page has details, code with text and advice, the acquirer's response, and the callbacks with attempts."""
    answer = await portal.pay(portal.payment({"type": "card"} | card("decline_51"), metadata={"cart": "A-17"}))
    await attempt_all(portal)
    payment = answer.json()["payment"]
    page = unescape(re.sub("</?span.*?>", "", (await ann.get(f"/portal/payments/{payment['transactionId']}")).text))
    for text in (
        payment["orderId"],
        "19.99 USD",
        "Insufficient funds",
        "Code 5051",
        "Send it again later.",
        "declined",
        "http://127.0.0.1:9/ipn",
        "no server listens at this address",
        "next attempt",
        answer.headers["x-request-id"],
        '"A-17"',
        "203.0.113.45",
    ):
        assert text in page
    assert "4000000050510009" not in page


async def test_a_failed_callback_can_be_sent_again(ann: Browser, portal: WebShop) -> None:
    """A failed delivery has a button that creates another delivery of the event and returns to the payment's page."""
    block = (await portal.pay()).json()["payment"]
    page = f"/portal/payments/{block['transactionId']}"
    await number_batch(portal.gateway.database)
    assert "Send again" not in (await ann.get(page)).text
    await portal.execute("update delivery set state = 'failed'")
    [row] = await portal.fetch("select event_id from delivery")
    action = f"{page}/callbacks/{row['event_id']}/1/again"

    sent = await ann.submit(await ann.get(page), action)

    assert (sent.status_code, sent.headers["location"]) == (303, page)
    rows = await portal.fetch("select number, state::text, thread from delivery order by number")
    assert [tuple(one.values()) for one in rows] == [(1, "failed", int(block["orderId"])), (2, "waiting", None)]
    assert "delivery 2" in (await ann.get(page)).text


async def test_sending_again_needs_form_token_and_merchant(ann: Browser, portal: WebShop) -> None:
    """A form of another site sends nothing, and no user sends another merchant's callbacks."""
    block = (
        await portal.pay(portal.payment(sku=portal.sku(siteId=str(portal.other.site_id))), key=portal.other.key)
    ).json()
    await number_batch(portal.gateway.database)
    [row] = await portal.fetch("select event_id from delivery where merchant_id = 2")
    action = f"/portal/payments/{block['payment']['transactionId']}/callbacks/{row['event_id']}/1/again"
    token = build_form_token(ann.client.cookies[SESSION])
    assert (await ann.client.post(action, data={"form_token": "x" * 64})).status_code == 403
    assert (await ann.client.post(action, data={"form_token": token})).status_code == 404
    assert len(await portal.fetch("select from delivery")) == 1


async def test_a_pending_payment_shows_its_challenge(ann: Browser, portal: WebShop) -> None:
    """A payment that waits for the cardholder says so, and shows its 3-D Secure."""
    answer = await portal.pay(portal.payment({"type": "card"} | card("challenge")))
    page = (await ann.get(f"/portal/payments/{answer.json()['payment']['transactionId']}")).text
    assert "The cardholder has to confirm the payment." in page
    assert "3-D Secure" in page


async def test_merchants_see_only_their_own_rows(ann: Browser, portal: WebShop) -> None:
    """No list and no URL shows anything of another merchant."""
    body = portal.payment(sku={"siteId": str(portal.other.site_id), "price": [price(5)]})
    payment = (await portal.pay(body, key=portal.other.key)).json()["payment"]
    for path in (*PAGES, f"/portal/payments?order={payment['orderId']}"):
        page = (await ann.get(path)).text
        assert f"/portal/payments/{payment['transactionId']}" not in page
        assert str(portal.other.site_id) not in page
        assert portal.other.key[-4:] not in re.findall("…(....)", page)
    assert (await ann.get(f"/portal/payments/{payment['transactionId']}")).status_code == 404


async def test_an_unknown_payment_is_a_page(ann: Browser) -> None:
    """The URL of an unknown payment gets a page that says so."""
    for transaction_id in ("0", "abc", "9" * 30, "-1", "1%00"):
        answer = await ann.get(f"/portal/payments/{transaction_id}")
        assert answer.status_code == 404, transaction_id
        assert answer.headers["content-type"].startswith("text/html")


async def test_keys_show_only_their_last_characters(ann: Browser, portal: WebShop) -> None:
    """Only a key's last four characters are shown."""
    page = (await ann.get("/portal/keys")).text
    assert f"…{portal.merchant.key[-4:]}" in page
    assert portal.merchant.key[:-4] not in page


async def test_sites_are_shown_with_their_skus(ann: Browser, portal: WebShop) -> None:
    """Each site has its ID and rules, each SKU its prices as text."""
    page = (await ann.get("/portal/sites")).text
    assert str(portal.merchant.site_id) in page
    assert "19.99 USD at once, then 19.99 USD every 30 days" in page
    assert "given with each payment" in page
    assert "switched off" not in page
    await portal.put(f"/site/{portal.merchant.site_id}", {"status": False})
    assert "switched off" in (await ann.get("/portal/sites")).text
    await portal.put(f"/site/{portal.merchant.site_id}", {"status": True})


async def test_texts_of_others_are_escaped(ann: Browser, portal: WebShop) -> None:
    """Markup in names, addresses, titles and metadata is text on every page."""
    markup = "<script>alert(1)</script>"
    body = portal.payment(
        sku=portal.sku(title=markup),
        consumer=consumer(firstName=markup, email=f'"{markup}"@x.example'),
        metadata={markup: markup},
    )
    payment = (await portal.pay(body)).json()["payment"]
    for path in ("/portal/payments", f"/portal/payments/{payment['transactionId']}"):
        page = (await ann.get(path)).text
        assert "<script" not in page
        assert "&lt;script&gt;" in page
    searched = await ann.client.get("/portal/payments", params={"email": f'">{markup}'})
    assert "<script" not in searched.text


async def test_pages_cannot_be_framed_or_stored(ann: Browser) -> None:
    """No page is stored, framed, runs scripts, or reveals its URL to other sites."""
    for path in (*PAGES, "/portal/sign-in", "/portal/nowhere", "/portal/payments/1"):
        answer = await ann.get(path)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "script-src" not in policy
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert not re.search(r"<script|<style|\sstyle=|\son\w+=|javascript:", answer.text)


async def test_a_large_form_is_rejected(browser: Browser) -> None:
    """A form of more than 16 KiB is not read."""
    assert (await browser.client.post("/portal/sign-in", data={"email": "x" * 17_000})).status_code == 413


async def test_live_has_the_portal(opened: OpenShop) -> None:
    """Live has the portal, without the word stage on it."""
    live = await opened(environment="live")
    page = (await live.client.get("/portal/sign-in")).text
    assert "Sign in" in page
    assert "demo" not in page
    assert ">stage<" not in page


def test_every_statement_names_the_merchant() -> None:
    """Each statement of the portal that reads rows has the merchant in its condition."""
    text = (Path(tollhouse.portal.__file__).parent / "queries.sql").read_text()
    statements = [part for part in text.split("-- name: ") if " from " in part.replace("\n", " ")]
    assert len(statements) >= 8
    assert not [part.split()[0] for part in statements if "merchant_id = :merchant_id" not in part]
