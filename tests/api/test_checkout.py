"""The checkout as browsers, Directories and headless tests see it over HTTP."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.cardholders import (
    PAGE_FIELDS,
    Answer,
    ServedGateway,
    build_rreq,
    open_served_gateway,
    payment_request,
)

from tollhouse.storage.database import Database

ENDS = [("pass", "success", "0"), ("fail", "fail", "1010"), ("cancel", "fail", "1010"), ("timeout", "fail", "1011")]


@pytest.fixture
async def served(database: Database, simulator_database: Database) -> AsyncIterator[ServedGateway]:
    """A gateway that is served, and its simulator."""
    async with open_served_gateway(database, simulator_database) as served:
        yield served


def policy_of(answer: Answer) -> dict[str, str]:
    """Return a page's content security policy by directive."""
    rules = answer.headers["Content-Security-Policy"].split("; ")
    return {name: sources for name, _, sources in (rule.partition(" ") for rule in rules)}


async def test_pages_allow_only_what_they_need(served: ServedGateway) -> None:
    """No page may load anything from elsewhere, be framed, be cached, leak its URL, or set a cookie."""
    answer = await served.pay("challenge_method")
    url = answer.json["payment"]["url"]
    collect = await served.get(url)
    await served.post(url, PAGE_FIELDS)
    challenge = await served.get(url)
    problem = await served.get("/3ds/nothing")
    for page in (collect, challenge, problem):
        policy = policy_of(page)
        assert policy["default-src"] == "'none'"
        assert policy["frame-ancestors"] == "'none'"
        assert policy.get("script-src", "'self'") == policy["style-src"] == "'self'"
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        assert "Set-Cookie" not in page.headers
        assert not re.search(r"""(src|href)=["']?(https?:)?//""", page.text.replace(served.base_url, ""))
    bank = served.base_url.replace("127.0.0.1", "localhost")
    assert policy_of(collect)["frame-src"] == policy_of(collect)["form-action"] == f"'self' {bank}"
    assert policy_of(challenge)["form-action"] == "*"
    assert policy_of(problem)["form-action"] == "'none'"


async def test_assets_match_their_digests(served: ServedGateway) -> None:
    """The digests in a page match the files, which browsers may cache forever."""
    page = await served.get((await served.pay("challenge")).json["payment"]["url"])
    found = re.findall(r'(?:src|href)="(/3ds/assets/[^"]+)" integrity="sha256-([^"]+)"', page.text)
    assert len(found) == 2
    for address, digest in found:
        asset = await served.get(address)
        assert asset.status == 200
        assert base64.b64encode(hashlib.sha256(asset.text.encode()).digest()).decode() == digest
        assert "immutable" in asset.headers["Cache-Control"]
    assert (await served.get("/3ds/assets/handlers.py")).status == 404


@pytest.mark.parametrize(
    "path",
    [
        "/3ds/unknown",
        "/3ds/return/unknown",
        "/3ds/unknown/wait",
        "/3ds/return/unknown/wait",
        "/3ds/%C3%A9",
        f"/3ds/{'x' * 99}",
    ],
)
async def test_unknown_urls_show_a_page(served: ServedGateway, path: str) -> None:
    """An unknown URL gets a page."""
    answer = await served.get(path)
    assert answer.status == 404
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "Payment not found" in answer.text


@pytest.mark.parametrize("path", ["/3ds/unknown", "/3ds/return/unknown", "/3ds/method/unknown"])
async def test_unknown_urls_accept_nothing(served: ServedGateway, path: str) -> None:
    """A POST to an unknown URL gets a page too, whatever its body."""
    for body in (PAGE_FIELDS, b"\xff\xfe&&&=", b"a=1&" * 100):
        answer = await served.post(path, body)
        assert (answer.status, answer.headers["Content-Type"].partition(";")[0]) == (404, "text/html")


async def test_a_large_form_is_rejected(served: ServedGateway) -> None:
    """A form with more than 64 KiB of browser data is not read."""
    url = (await served.pay("challenge")).json["payment"]["url"]
    answer = await served.post(url, b"x" * 70_000)
    assert (answer.status, answer.headers["Content-Type"].partition(";")[0]) == (413, "text/html")


async def test_texts_of_merchants_are_escaped(served: ServedGateway) -> None:
    """A descriptor with markup is escaped."""
    await served.fetch("update site set descriptor = '<script>alert(1)</script>'")
    page = await served.get((await served.pay("challenge")).json["payment"]["url"])
    assert "&lt;script&gt;alert(1)" in page.text
    assert "<script>alert" not in page.text


async def test_no_card_data_in_pages(served: ServedGateway) -> None:
    """The pages contain the last four digits and no more."""
    answer = await served.pay("challenge")
    number = payment_request("challenge")["paymentSource"]["number"]
    page = await served.get(answer.json["payment"]["url"])
    assert f"•••• {number[-4:]}" in page.text
    assert number not in page.text
    assert number[:6] not in page.text


async def test_the_return_url_redirects_posts(served: ServedGateway) -> None:
    """The cross-site POST of the bank becomes a GET of ours, once or twice, without a cookie."""
    answer = await served.pay("challenge")
    page = await served.challenge(answer)
    await served.get(page)
    [row] = await served.fetch("select notification_url from simulator.authentication")
    for _ in range(2):
        returned = await served.post(row["notification_url"], {"cres": "garbage"}, Origin="https://acs.example")
        assert returned.status == 303
        assert returned.headers["Location"] == row["notification_url"].removeprefix(served.base_url)


async def test_an_early_return_shows_the_payment(served: ServedGateway) -> None:
    """Opening the return URL before the challenge shows the state of the payment."""
    answer = await served.pay("challenge")
    page = await served.challenge(answer)
    [row] = await served.fetch("select notification_url from simulator.authentication")
    opened = await served.get(row["notification_url"])
    assert (opened.status, opened.headers["Location"]) == (303, page)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"messageType": "AReq"}, "101"),
        ({"messageVersion": "1.0.2"}, "102"),
        ({"dsTransID": None}, "201"),
        ({"transStatus": "C"}, "203"),
        ({"authenticationValue": None}, "201"),
        ({"messageVersion": "2.1.0"}, "203"),
        ({"threeDSServerTransID": "00000000-0000-4000-8000-000000000000"}, "301"),
        ({"acsTransID": "00000000-0000-4000-8000-000000000000"}, "301"),
    ],
)
async def test_invalid_results_get_an_erro(served: ServedGateway, change: dict[str, Any], code: str) -> None:
    """A result that violates the protocol gets an Erro and decides nothing."""
    answer = await served.pay("challenge", browser=True)
    authentication = await served.authentication(answer)
    reply = await served.send_result(build_rreq(authentication, "Y", **change))
    assert reply.status == 200
    assert (reply.json["messageType"], reply.json["errorCode"]) == ("Erro", code)
    assert reply.json["errorMessageType"] == "RReq"
    assert (await served.authentication(answer)).state == "challenged"


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"{" * 1000])
async def test_results_that_are_not_messages_get_an_erro(served: ServedGateway, body: bytes) -> None:
    """Whatever is posted, the response is an Erro."""
    assert (await served.send_result(body)).json["errorCode"] == "203"


@pytest.mark.parametrize("browser", [True, False], ids=["from the challenge", "from the beginning"])
@pytest.mark.parametrize(("result", "status", "code"), ENDS)
async def test_one_call_completes_a_challenge(
    served: ServedGateway, result: str, status: str, code: str, *, browser: bool
) -> None:
    """One call acts as the cardholder in any state of the payment, and responds with the outcome."""
    order_id = (await served.pay("challenge", browser=browser)).json["payment"]["orderId"]
    answer = await served.call(f"/stage/3ds/{order_id}", {"result": result})
    assert answer.status == 200
    payment = answer.json["payment"]
    assert (payment["status"], payment["code"], payment["orderId"]) == (status, code, order_id)
    again = await served.call(f"/stage/3ds/{order_id}", {"result": "pass"})
    assert again.json == answer.json


@pytest.mark.parametrize("card", ["frictionless", "challenge_method_silent", "decoupled"])
async def test_one_call_passes_every_flow(served: ServedGateway, card: str) -> None:
    """It needs no 3DS Method, no bank's app and no challenge."""
    order_id = (await served.pay(card)).json["payment"]["orderId"]
    answer = await served.call(f"/stage/3ds/{order_id}", {"result": "pass"})
    assert answer.json["payment"]["status"] == "success"


async def test_one_call_restarts_a_lapsed_challenge(served: ServedGateway) -> None:
    """A challenge that lapsed is started again, as by a late browser."""
    answer = await served.pay("challenge", browser=True)
    await served.answer_bank(answer, "timeout")
    ended = await served.call(f"/stage/3ds/{answer.json['payment']['orderId']}", {"result": "pass"})
    assert ended.json["payment"]["status"] == "success"


async def test_one_call_rejects_invalid_requests(served: ServedGateway) -> None:
    """A wrong result, another merchant's or impossible order and a missing key are rejected."""
    order_id = (await served.pay("challenge")).json["payment"]["orderId"]
    faulty: list[Any] = [{"result": "maybe"}, {}, [], {"result": ["pass"]}]
    for body in faulty:
        answer = await served.call(f"/stage/3ds/{order_id}", body)
        assert (answer.status, list(answer.json["errors"])) == (400, ["result"])
    for order in ("1", "x", "9" * 30):
        assert (await served.call(f"/stage/3ds/{order}", {"result": "pass"})).status == 404
    assert (await served.post(f"/stage/3ds/{order_id}", b'{"result": "pass"}')).status == 401


async def test_pages_while_the_database_is_unavailable(served: ServedGateway) -> None:
    """A browser that cannot be served gets a page that loads again by itself."""
    url = (await served.pay("challenge")).json["payment"]["url"]
    await served.parts.database.close()
    answer = await served.get(url)
    assert answer.status == 503
    assert answer.headers["Retry-After"]
    assert '<meta http-equiv="refresh" content="5">' in answer.text
