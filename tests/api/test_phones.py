"""Phone verification over HTTP: numbers in paths as clients write them, answers that are objects."""

from __future__ import annotations

import re
import urllib.request
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from tollhouse.phones.sender import RecordingSender

if TYPE_CHECKING:
    from tests.support.gateways import RunningGateway
    from tests.support.webshop import OpenShop, WebShop

PATH = "/antifraud/verification"
#: As the public PHP client sends it: raw, with percent escapes for spaces only.
WRITTEN = "+1%20(500)%20555.0006"
PHONE = "+1 (500) 555.0006"


def last_message(shop: WebShop) -> Any:
    """Return the last message that was sent for the merchant."""
    sender = shop.gateway.phones.sender
    assert isinstance(sender, RecordingSender)
    return sender.shown(shop.merchant.merchant_id)[0].message


async def test_a_phone_is_verified(shop: WebShop) -> None:
    """List the channels, send a code, check a wrong one, check it, and check it again."""
    assert (await shop.get(f"{PATH}/{WRITTEN}")).json() == {"channels": ["sms"]}
    sent = await shop.post(f"{PATH}/sms/send", {"phone": PHONE, "from": "Example"})
    assert sent.status_code == 201
    assert sent.json().keys() == {"channel", "expireAt", "triesLeft"}
    assert 590 < sent.json()["expireAt"] - datetime.now(UTC).timestamp() < 610
    text = last_message(shop).text
    code = re.fullmatch(r"(\d{6}) is your code for Example\. It is valid for 10 minutes\..*", text)
    assert code
    assert last_message(shop).phone.number == "+15005550006"
    for typed, verdict in (
        ("12345", {"verified": False, "triesLeft": 4}),
        ("x" * 5000, {"verified": False, "triesLeft": 3}),
        (code[1], {"verified": True, "triesLeft": 0}),
        (code[1], {"verified": False, "triesLeft": 0}),
    ):
        answer = await shop.get(f"{PATH}/{WRITTEN}/{typed}")
        assert (answer.status_code, answer.json()) == (200, verdict)
        assert answer.headers["cache-control"] == "no-store"


async def test_the_sender_is_the_merchant_unless_it_says_otherwise(shop: WebShop) -> None:
    """Without `from`, or with an empty one, the message names the merchant."""
    for body in ({"phone": PHONE}, {"phone": PHONE, "from": ""}):
        assert (await shop.post(f"{PATH}/sms/send", body)).status_code == 201
        assert "your code for Shop 1." in last_message(shop).text


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({}, {"phone"}),
        ([], {"phone"}),
        ({"phone": "", "from": "ab"}, {"phone", "from"}),
        ({"phone": "+12345", "from": "x" * 17}, {"phone", "from"}),
        ({"phone": "+12345678901234567x", "from": 7}, {"phone", "from"}),
        ({"phone": "+1 500 call me"}, {"phone"}),
        ({"phone": PHONE, "from": "a\nb: c"}, {"from"}),
        ({"phone": {}}, {"phone"}),
        ({"phone": "212 555-1234"}, {"phone"}),
        ({"phone": 15005550006}, {"phone"}),
        ({"phone": "212 555-1234", "region": "Narnia"}, {"region"}),
        ({"phone": "212 555-1234", "region": "ZZ", "from": "x"}, {"region", "from"}),
    ],
)
async def test_faults_are_named(shop: WebShop, body: Any, faults: set[str]) -> None:
    """Every faulty field is named at once, and no message repeats the number."""
    answer = await shop.post(f"{PATH}/sms/send", body)
    assert answer.status_code == 400
    assert set(answer.json()["errors"]) == faults
    assert "12345" not in answer.text


async def test_bounds_are_taken(shop: WebShop) -> None:
    """The shortest and the longest phone, three and sixteen characters of sender; a number may be a number."""
    for phone, sender in (("+2908123", "abc"), ("+1 - (500) - 555 - 0006", "x" * 16), (5005550006, 12345)):
        answer = await shop.post(f"{PATH}/sms/send", {"phone": phone, "from": sender, "region": "US"})
        assert answer.status_code == 201, answer.text


async def test_a_national_number_is_of_its_region(shop: WebShop) -> None:
    """With a region a national number is one of that country, for each of the calls, and not one of another country."""
    for region in ("US", "usa"):
        sent = await shop.post(f"{PATH}/sms/send", {"phone": "(212) 555-1234", "region": region})
        assert sent.status_code == 201, sent.text
        assert last_message(shop).phone.number == "+12125551234"
    code = last_message(shop).text[:6]
    for path in (f"{PATH}/212%20555-1234", f"{PATH}/212%20555-1234/{code}"):
        assert (await shop.get(path)).json()["errors"].keys() == {"phone"}
    assert (await shop.get(f"{PATH}/212%20555-1234?region=US")).json() == {"channels": ["sms"]}
    assert (await shop.get(f"{PATH}/212%20555-1234/{code}?region=USA")).json()["verified"] is True
    assert (await shop.get(f"{PATH}/212%20555-1234?region=ZZ")).json()["errors"].keys() == {"region"}


async def test_paths_that_name_no_phone(shop: WebShop) -> None:
    """A path whose phone cannot be one is 400 and says which part; another method than that of a path is 405."""
    for path in ("/hello", "/12345", "/hello/123456", "/%2B1500%0A5550006"):
        answer = await shop.get(PATH + path)
        assert (answer.status_code, set(answer.json()["errors"])) == (400, {"phone"}), path
    assert (await shop.get(f"{PATH}/sms/send")).status_code == 405
    assert (await shop.get(PATH)).status_code == 404


async def test_channels(opened: OpenShop) -> None:
    """The channels are those that are set; live without a sender has none, and says so."""
    three = await opened(phone_channels="sms, call,whatsapp")
    assert (await three.get(f"{PATH}/{WRITTEN}")).json() == {"channels": ["sms", "call", "whatsapp"]}
    refused = await three.post(f"{PATH}/pigeon/send", {"phone": PHONE})
    assert refused.json()["errors"] == {"channel": ["must be one of sms, call, whatsapp"]}
    live = await opened(environment="live")
    assert (await live.get(f"{PATH}/{WRITTEN}")).json() == {"channels": []}
    refused = await live.post(f"{PATH}/sms/send", {"phone": PHONE})
    assert (refused.status_code, set(refused.json()["errors"])) == (400, {"channel"})
    assert "not configured" in refused.json()["errors"]["channel"][0]


async def test_an_endpoint_that_does_not_answer(opened: OpenShop) -> None:
    """When the operator's endpoint is away, the answer is 503, and the same request may be repeated."""
    shop = await opened(phone_sender_url="http://127.0.0.1:9")
    for _ in range(2):
        answer = await shop.post(f"{PATH}/sms/send", {"phone": PHONE}, headers={"X-Request-ID": "one"})
        assert answer.status_code == 503
        assert "Retry-After" in answer.headers


async def test_too_many_codes(shop: WebShop) -> None:
    """The sixth code to a phone within the hour is 429 and says when the next one may be."""
    statuses = [(await shop.post(f"{PATH}/sms/send", {"phone": PHONE})).status_code for _ in range(6)]
    assert statuses == [201] * 5 + [429]
    other = await shop.post(f"{PATH}/sms/send", {"phone": PHONE}, key=shop.other.key)
    assert other.status_code == 201


async def test_a_repeat_is_answered_and_not_sent(shop: WebShop) -> None:
    """The same X-Request-ID gets the same bytes; for another phone it is 422."""
    headers = {"X-Request-ID": "one"}
    first, again = [await shop.post(f"{PATH}/sms/send", {"phone": PHONE}, headers=headers) for _ in range(2)]
    assert (again.content, again.headers["idempotent-replay"]) == (first.content, "true")
    other = await shop.post(f"{PATH}/sms/send", {"phone": "+15005550007"}, headers=headers)
    assert other.status_code == 422
    sender = shop.gateway.phones.sender
    assert isinstance(sender, RecordingSender)
    assert len(sender.shown(shop.merchant.merchant_id)) == 1


async def test_codes_are_for_merchants(shop: WebShop) -> None:
    """Each call needs a key, and another merchant's code is wrong."""
    await shop.post(f"{PATH}/sms/send", {"phone": PHONE})
    code = last_message(shop).text[:6]
    assert (await shop.get(f"{PATH}/{WRITTEN}", key="")).status_code == 401
    assert (await shop.get(f"{PATH}/{WRITTEN}/{code}", key="")).status_code == 401
    assert (await shop.post(f"{PATH}/sms/send", {"phone": PHONE}, key="")).status_code == 401
    assert not (await shop.get(f"{PATH}/{WRITTEN}/{code}", key=shop.other.key)).json()["verified"]
    assert (await shop.get(f"{PATH}/{WRITTEN}/{code}")).json()["verified"]


async def test_phones_are_not_logged(shop: WebShop) -> None:
    """Neither a phone nor a code is in any line of the log."""
    with capture_logs() as lines:
        await shop.get(f"{PATH}/{WRITTEN}")
        await shop.post(f"{PATH}/sms/send", {"phone": PHONE})
        code = last_message(shop).text[:6]
        await shop.get(f"{PATH}/{WRITTEN}/{code}")
        await shop.get(f"{PATH}/{WRITTEN}/send/x")
    assert len(lines) >= 4
    assert not any(secret in str(line) for line in lines for secret in ("5550006", "555.0006", code))


def test_escapes_are_read_by_the_real_server(running_gateway: RunningGateway) -> None:
    """Over a real connection a plus stays a plus, and an escaped space is one."""
    for phone, status in ((WRITTEN, 200), ("%2B1%20500%20555%200006", 200)):
        request = urllib.request.Request(  # noqa: S310 - our own address
            f"{running_gateway.url}{PATH}/{phone}", headers={"Authorization": running_gateway.demo["apiKey"]}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own address
            assert answer.status == status
