"""The headers of responses, and bodies of the stage calls that are no JSON."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.raw_http import Raw, serve
from tests.support.webshop import OpenShop, WebShop

from tollhouse.http.serving.server import ServerLimits

#: What is no JSON object in ways that JSON libraries tell apart.
UNREADABLE = {
    "no UTF-8": b'{"result": "\xff"}',
    "half a character": b'{"result": "\\ud83d"}',
    "deep": b'{"result": ' + b"[" * 60_000,
    "deep and whole": b'{"result": ' + b"[" * 3_000 + b"]" * 3_000 + b"}",
    "a list": b"[1]",
    "cut": b'{"result": ',
}


async def test_json_is_neither_guessed_nor_stored(shop: WebShop) -> None:
    """Every JSON answer, refusals and defects too, has nosniff and no-store."""
    answers = [
        await shop.pay(),
        await shop.pay({}),
        await shop.tokenize(),
        await shop.get("/nowhere"),
        await shop.get("/payment/1", key="wrong"),
        await shop.client.delete("/payment"),
        await shop.get("/codes"),
        await shop.get("/healthz"),
        await shop.get("/openapi.json"),
        await shop.get("/feed/transactions?orderId=4024007179366348"),
    ]
    for answer in answers:
        assert answer.headers["content-type"].startswith("application/json")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "cache-control" in answer.headers
        assert "strict-transport-security" not in answer.headers
    assert {answer.headers["cache-control"] for answer in answers[:6]} == {"no-store"}


async def test_tls_is_declared(opened: OpenShop) -> None:
    """Where the base URL is https, browsers are told to stay with it, on every answer."""
    shop = await opened(base_url="https://pay.example")
    for answer in (await shop.get("/codes"), await shop.get("/nowhere"), await shop.get("/static/tollhouse.css")):
        assert answer.headers["strict-transport-security"] == "max-age=63072000"


async def test_no_length_on_the_wire_without_a_body(shop: WebShop) -> None:
    """A preflight's 204 and a 304 have no Content-Length, and the connection goes on."""
    async with serve(shop.web, ServerLimits()) as port:
        connection = await Raw.open(port)
        origin = b"Origin: https://shop.example\r\nAccess-Control-Request-Method: POST\r\n"
        await connection.send(b"OPTIONS /tokenize HTTP/1.1\r\nHost: a\r\n" + origin + b"\r\n")
        status, headers, _ = await connection.read_response()
        assert (status, "content-length" in headers, "transfer-encoding" in headers) == (204, False, False)
        await connection.send(b"GET /static/tollhouse.css HTTP/1.1\r\nHost: a\r\n\r\n")
        status, headers, body = await connection.read_response()
        assert (status, len(body) > 0) == (200, True)
        tag = headers["etag"].encode()
        await connection.send(b"GET /static/tollhouse.css HTTP/1.1\r\nHost: a\r\nIf-None-Match: " + tag + b"\r\n\r\n")
        status, headers, _ = await connection.read_response()
        assert (status, "content-length" in headers, "transfer-encoding" in headers) == (304, False, False)
        await connection.send(b"GET /codes HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await connection.read_response())[0] == 200
        connection.close()


@pytest.mark.parametrize("path", [b"/static/tollhouse.css", b"/codes", b"/healthz", b"/nowhere", b"/3ds/unknown"])
async def test_head_on_the_wire(shop: WebShop, path: bytes) -> None:
    """HEAD answers with the status and length of GET and without its body, so that the connection goes on."""
    async with serve(shop.web, ServerLimits()) as port:
        connection = await Raw.open(port)
        await connection.send(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        got = await connection.read_response()
        await connection.send(b"HEAD " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        status, headers = await connection.read_head()
        assert (status, headers["content-length"]) == (got[0], str(len(got[2])))
        await connection.send(b"GET /codes HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await connection.read_response())[0] == 200
        connection.close()


async def test_an_interim_response_on_the_wire(shop: WebShop) -> None:
    """A client that waits for 100 Continue gets it once, without a length, and then the response to its body."""
    async with serve(shop.web, ServerLimits()) as port:
        connection = await Raw.open(port)
        head = b"POST /payment HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Type: application/json\r\n"
        key = f"Authorization: {shop.merchant.key}\r\n".encode()
        await connection.send(head + key + b"Content-Length: 2\r\n\r\n")
        assert await connection.read_head() == (100, {})
        await connection.send(b"{}")
        status, headers, _ = await connection.read_response()
        assert (status, "content-length" in headers) == (400, True)
        connection.close()


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE.keys())
@pytest.mark.parametrize(
    ("path", "statuses"),
    [
        ("/stage/3ds/1", {400, 413}),
        ("/stage/faults", {400, 413}),
        ("/stage/inbox", {400, 413}),
        ("/stage/clock", {400, 413}),
        ("/3ds/results", {200, 400, 401, 403, 413}),
    ],
)
async def test_bodies_that_are_no_json_are_refused(shop: WebShop, path: str, statuses: set[int], content: Any) -> None:
    """Bad UTF-8, half a character and endless brackets are no defect, whatever call they are sent to."""
    answer = await shop.post(path, content=content)
    assert answer.status_code in statuses, (answer.status_code, answer.text)


@pytest.mark.parametrize("name", ["co.uk", "github.io", "com.au", "blogspot.com"])
async def test_a_site_is_no_public_suffix(shop: WebShop, name: str) -> None:
    """Nobody's site is a name below which anybody may register: all their pages could call as it."""
    site = {"name": name, "externalId": "s", "ipnUrl": "http://127.0.0.1:9/ipn"}
    answer = await shop.post("/site", site)
    assert answer.status_code == 400
    assert "name" in answer.json()["errors"]
    own = await shop.post("/site", site | {"name": f"shop.{name}"})
    assert "name" not in own.json().get("errors", {})
