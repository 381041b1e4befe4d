"""The demo merchant's inbox, and the other pages of stage."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import TYPE_CHECKING

from tests.support.clock import leap
from tests.support.due import send_due_emails
from tests.support.pages import attempt_all, newest_event, sign
from tests.support.webshop import IPN_URL

from tollhouse.ipn.message.signature import sign_webhook
from tollhouse.ipn.number import number_batch
from tollhouse.notices.transport import RecordingMailTransport
from tollhouse.simulator.cards import published_cards
from tollhouse.stage.home import CARDS_TO_TRY
from tollhouse.stage.inbox import describe_span
from tollhouse.stage.mailbox import MAX_ARRIVALS, Arrival, Mailbox, verify_arrival

if TYPE_CHECKING:
    from tests.support.webshop import OpenShop, WebShop


async def test_an_empty_inbox_shows_a_command(shop: WebShop) -> None:
    """Without a callback the page shows the command that creates one."""
    page = unescape((await shop.client.get("/stage/inbox")).text)
    assert "Nothing yet" in page
    assert "/payment \\\n" in page
    assert '"siteId": "983759353"' in page


async def test_a_failing_callback_is_shown(shop: WebShop) -> None:
    """A callback to an unreachable server is in the inbox, with its attempts and the next one."""
    answer = await shop.pay()
    await attempt_all(shop)
    page = unescape((await shop.client.get("/stage/inbox")).text)
    payment = answer.json()["payment"]
    assert payment["orderId"] in page
    assert payment["transactionId"] in page
    assert "19.99 USD" in page
    assert IPN_URL in page
    assert "no server listens at this address" in page
    assert "next attempt" in page
    assert "as sent at attempt 1" in page
    assert "402400****6348" in page
    assert "4024007179366348" not in page


async def test_an_advanced_clock_is_shown(shop: WebShop) -> None:
    """The page shows the merchant's time if the clock is ahead, and callbacks by it."""
    assert "clock shows" not in (await shop.client.get("/stage/inbox")).text
    await leap(shop.gateway.database, 1, shop.gateway.parts.clock, days=400)
    await shop.pay()
    await attempt_all(shop)
    page = unescape((await shop.client.get("/stage/inbox")).text)
    assert "400 days ahead of the real time" in page
    ahead = datetime.now(UTC) + timedelta(days=400)
    assert page.count(f"{ahead:%-d %b %Y}") >= 3
    stamped = re.search(r"webhook-timestamp\D+?(\d{9,})", page)
    assert stamped is not None
    assert abs(int(stamped[1]) - time.time()) < 600


def test_durations_are_texts() -> None:
    """A duration is described in its largest unit."""
    seconds = {1: "seconds", 91: "2 minutes", 4_200: "1 hour", 90_000: "1 day", 259_200: "3 days"}
    assert {each: describe_span(timedelta(seconds=each)) for each in seconds} == seconds


async def test_headers_are_those_that_were_sent(shop: WebShop) -> None:
    """The signatures on the page are valid for the time of the attempt."""
    await shop.pay()
    await attempt_all(shop)
    page = unescape(re.sub("</?span.*?>", "", (await shop.client.get("/stage/inbox")).text))
    shown = dict(re.findall(r"^(?:<pre tabindex=\"0\"><code>)?\s*([\w-]+): (.+)$", page, re.MULTILINE))
    event = await newest_event(shop)
    headers = {name.lower(): text for name, text in shown.items()}
    assert verify_arrival(headers, event["body"], ["secret"]).is_genuine
    assert not verify_arrival(headers, event["body"], ["another"]).is_genuine


async def test_a_genuine_callback_is_acknowledged_and_shown(shop: WebShop) -> None:
    """The inbox verifies a posted callback, responds 200, and shows the headers as received."""
    await shop.pay(shop.payment(url={"ipnUrl": "http://127.0.0.1:9/stage/inbox", "redirectUrl": "http://a.example"}))
    await attempt_all(shop)
    event = await newest_event(shop)
    headers = sign(event["body"], event_id=event["event_id"])
    answer = await shop.client.post("/stage/inbox", content=event["body"], headers=headers)
    assert answer.status_code == 200
    page = (await shop.client.get("/stage/inbox")).text
    assert "both signatures are valid" in page
    assert "as they arrived" in page
    assert headers["X-Signature"] in page


async def test_a_legacy_form_is_shown_and_acknowledged(shop: WebShop) -> None:
    """A site with the legacy form has its XML on the page, and the inbox accepts the form by its signature."""
    await shop.execute("update site set ipn_format = 'legacy'")
    await shop.pay()
    await attempt_all(shop)
    page = (await shop.client.get("/stage/inbox")).text
    assert "ppGetData" in page
    form = b"ipn=%3Cipn%2F%3E&sign=0"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    timestamp = int(time.time())
    signature = sign_webhook(["secret"], webhook_id="evt_1", timestamp=timestamp, body=form)
    headers |= {"webhook-id": "evt_1", "webhook-timestamp": str(timestamp), "webhook-signature": signature}
    assert (await shop.client.post("/stage/inbox", content=form, headers=headers)).status_code == 200
    assert (await shop.client.post("/stage/inbox", content=form + b"1", headers=headers)).status_code == 400


async def test_a_forged_callback_is_rejected(shop: WebShop) -> None:
    """A callback with a wrong signature gets 400, and only its arrival is recorded."""
    body = b'{"payment": {"transactionId": "1", "status": "success"}, "secret": "<b>4111111111111111</b>"}'
    for name, wrong, fault in (
        ("X-Signature", "0" * 64, "X-Signature"),
        ("X-Signature", "", "X-Signature"),
        ("webhook-signature", "v1,AAAA", "webhook-signature"),
        ("webhook-timestamp", "1", "webhook-signature"),
    ):
        answer = await shop.client.post("/stage/inbox", content=body, headers=sign(body) | {name: wrong})
        assert answer.status_code == 400
        assert fault in answer.json()["message"]
    page = (await shop.client.get("/stage/inbox")).text
    assert page.count("was rejected") == 4
    assert "4111111111111111" not in page


async def test_the_receiver_rejects_any_other_body(shop: WebShop) -> None:
    """Whatever is posted, the response is a rejection and never an internal error."""
    for body in (b"", b"[]", b"not json", b"\xff", b'{"payment": 1}'):
        assert (await shop.client.post("/stage/inbox", content=body)).status_code == 400, body


async def test_a_large_callback_is_rejected(shop: WebShop) -> None:
    """A body of more than 64 KiB is not read."""
    assert (await shop.client.post("/stage/inbox", content=b"x" * 65_537)).status_code == 413


async def test_metadata_is_escaped(shop: WebShop) -> None:
    """Markup that a merchant sent is text on the page."""
    await shop.pay(shop.payment(metadata={"note": "<script>alert(1)</script>"}))
    await attempt_all(shop)
    page = (await shop.client.get("/stage/inbox")).text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


async def test_only_the_demo_merchant_is_shown(shop: WebShop) -> None:
    """Callbacks of other merchants are not in the inbox."""
    await shop.pay(
        shop.payment(sku={"siteId": str(shop.other.site_id), "price": [{"amount": 5, "currency": "USD"}]}),
        key=shop.other.key,
    )
    await attempt_all(shop)
    assert "Nothing yet" in (await shop.client.get("/stage/inbox")).text


async def test_without_a_demo_merchant_the_inbox_is_empty(shop: WebShop) -> None:
    """If the first merchant is not the demo, nothing of it is shown and no callback is received for it."""
    await shop.execute("delete from sku where merchant_id = 1")
    await shop.execute("delete from site where merchant_id = 1")
    assert "No demo merchant" in (await shop.client.get("/stage/inbox")).text
    body = b'{"payment": {"transactionId": "1", "status": "success"}}'
    assert (await shop.client.post("/stage/inbox", content=body, headers=sign(body))).status_code == 400


async def test_the_list_is_sent_if_it_changed(shop: WebShop) -> None:
    """The page's script gets the list once, 304 while it is unchanged, and the list again after a callback."""
    first = await shop.client.get("/stage/inbox/list")
    tag = {"If-None-Match": first.headers["etag"]}
    assert (await shop.client.get("/stage/inbox/list", headers=tag)).status_code == 304
    await shop.pay()
    await attempt_all(shop)
    assert (await shop.client.get("/stage/inbox/list", headers=tag)).status_code == 200


async def test_older_callbacks_are_on_the_next_page(shop: WebShop) -> None:
    """A page has forty callbacks; the link below leads to older ones."""
    for _ in range(42):
        await shop.pay()
    await number_batch(shop.gateway.database)
    first = (await shop.client.get("/stage/inbox")).text
    link = re.search(r'href="(/stage/inbox\?before=\d+)"', first)
    assert link
    second = (await shop.client.get(link[1])).text
    assert [page.count('<details class="sheet callback"') for page in (first, second)] == [40, 2]
    assert (await shop.client.get("/stage/inbox?before=-99999999999999999999")).status_code == 200


async def test_the_thanks_page_shows_the_result(shop: WebShop) -> None:
    """The demo's redirect URL shows the parameters that the gateway appended, and links to the inbox."""
    for query, words in (
        (
            "is_approved=1&order_id=100000001&cb_code=0&cb_transaction_id=10000001",
            ["Thank you", "100000001", "10000001"],
        ),
        ("is_approved=0&order_id=100000001&cb_code=5051", ["Not approved", "100000001"]),
        ("is_approved=0&order_id=100000001", ["Not known yet", "100000001"]),
        ("", ["Thank-you page"]),
    ):
        page = (await shop.client.get(f"/stage/thanks?{query}")).text
        assert all(word in page for word in words), query
        assert 'href="/stage/inbox"' in page


async def test_the_thanks_page_escapes_parameters(shop: WebShop) -> None:
    """The parameters of the URL are shown as text, with a maximum length."""
    page = (await shop.client.get("/stage/thanks", params={"order_id": "<script>" + "x" * 500})).text
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "x" * 100 not in page


async def test_the_landing_page_links_to_all_pages(shop: WebShop) -> None:
    """The page at / links to reference, inbox and portal, and names only published cards."""
    page = (await shop.client.get("/")).text
    assert all(f'href="{path}"' in page for path in ("/docs", "/stage/inbox", "/portal"))
    known = {card.number for card in published_cards().values()}
    assert {number.replace(" ", "") for number, _ in CARDS_TO_TRY} <= known


async def test_pages_cannot_be_framed(shop: WebShop) -> None:
    """No page runs foreign scripts, is framed, or reveals its URL to other sites."""
    for path in ("/", "/stage/inbox", "/stage/thanks?is_approved=1"):
        answer = await shop.client.get(path)
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", answer.text)
        assert not re.search(r'<(?:link|img|script)[^>]*(?:href|src)="(?!/[^/])', answer.text)


async def test_the_inbox_works_without_its_script(shop: WebShop) -> None:
    """A browser without scripts loads the page again by itself."""
    page = (await shop.client.get("/stage/inbox")).text
    assert '<noscript><meta http-equiv="refresh"' in page
    assert (await shop.client.get("/stage/inbox.js")).headers["content-type"].startswith("text/javascript")


async def test_live_has_no_page_of_stage(opened: OpenShop) -> None:
    """Live has no page of stage."""
    live = await opened(environment="live")
    for path in ("/", "/stage/inbox", "/stage/inbox/list", "/stage/thanks", "/stage/stage.css"):
        assert (await live.client.get(path)).status_code == 404, path
        assert (await live.client.post(path)).status_code in {404, 405}, path


def test_the_mailbox_is_bounded() -> None:
    """The mailbox keeps the last two hundred callbacks."""
    mailbox = Mailbox()
    arrival = verify_arrival({}, b"", ["secret"])
    for number in range(MAX_ARRIVALS + 50):
        mailbox.put(Arrival(arrival.received_at, f"evt_{number}", ""))
    assert len(mailbox.genuine()) == MAX_ARRIVALS
    assert "evt_0" not in mailbox.genuine()


async def test_receipts_are_shown(shop: WebShop) -> None:
    """A receipt is shown among the callbacks, with its text and, in a frame, its HTML; it was not sent."""
    answer = await shop.pay(shop.payment(emailOptions=True, sku=shop.sku(title="<b>Premium</b>")))
    transaction_id = answer.json()["payment"]["transactionId"]
    await send_due_emails(shop.gateway.database, RecordingMailTransport())
    await attempt_all(shop)
    page = (await shop.client.get("/stage/inbox")).text
    assert page.count('<details class="sheet callback"') == 2
    for part in ("Your receipt from shop1.example", "jane@shop.example", "19.99 USD", "shown here", "Visa **** 6348"):
        assert part in unescape(page), part
    assert "<b>Premium</b>" not in page
    frame = re.search(r'<iframe[^>]*src="([^"]+)"[^>]*>', page)
    assert frame
    assert " sandbox" in frame[0]
    letter = await shop.client.get(frame[1])
    assert transaction_id in letter.text
    assert "Thank you for your purchase" in letter.text
    assert "&lt;b&gt;Premium&lt;/b&gt;" in letter.text
    policy = letter.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "sandbox" in policy
    assert "frame-ancestors 'self'" in policy


async def test_emails_of_others_are_not_shown(shop: WebShop) -> None:
    """Only the demo merchant's emails are on the page and in a frame."""
    sku = {"siteId": str(shop.other.site_id), "price": [{"amount": 5, "currency": "USD"}]}
    await shop.pay(shop.payment(emailOptions=True, sku=sku), key=shop.other.key)
    [[notice_id]] = await shop.fetch("select notice_id from notice")
    assert "Nothing yet" in (await shop.client.get("/stage/inbox")).text
    for number in (notice_id, "0", "-1", "9" * 30, "x"):
        assert (await shop.client.get(f"/stage/inbox/letter/{number}")).status_code == 404


async def test_a_waiting_email_shows_its_error(opened: OpenShop) -> None:
    """With a mail server an email is sent, or its next attempt is shown."""
    shop = await opened(smtp_url="smtp+plain://127.0.0.1:9", smtp_from="receipts@pay.example")
    await shop.pay(shop.payment(emailOptions=True))
    assert "about to be sent" in (await shop.client.get("/stage/inbox")).text
    assert shop.gateway.mail_transport is not None
    await send_due_emails(shop.gateway.database, shop.gateway.mail_transport)
    page = (await shop.client.get("/stage/inbox")).text
    assert "next attempt" in page
    assert "failed: SMTPConnectError" in page
    assert "No mail server is set" not in page


async def test_codes_for_phones_are_shown(shop: WebShop) -> None:
    """A message to a phone is on the page with its code; another merchant's is not."""
    for key in (shop.merchant.key, shop.other.key):
        body = {"phone": "+1 (500) 555.0006", "from": "<i>Shop</i>"}
        assert (await shop.post("/antifraud/verification/sms/send", body, key=key)).status_code == 201
    page = (await shop.client.get("/stage/inbox")).text
    assert page.count('<details class="sheet callback"') == 1
    code = re.search(r"(\d{6}) is your code for &lt;i&gt;Shop&lt;/i&gt;", page)
    assert code
    assert f"<b>{code[1]}</b>" in page
    assert "+15005550006" in page
    assert "Nothing yet" not in page


async def test_entries_are_in_order(shop: WebShop) -> None:
    """The newest entry is first, whatever its kind."""
    for path, body in (
        ("/payment", shop.payment(emailOptions=True)),
        ("/antifraud/verification/sms/send", {"phone": "+15005550006"}),
        ("/payment", shop.payment()),
    ):
        await shop.post(path, body)
        await number_batch(shop.gateway.database)
    page = (await shop.client.get("/stage/inbox")).text
    kinds = re.findall(r'<details class="sheet callback" id="(\w+?)[-_]', page)
    assert kinds[:2] == ["evt", "message"]
    assert sorted(kinds[2:]) == ["evt", "letter"]
