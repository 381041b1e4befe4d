"""Bodies that are no JSON object, too large, or hold what nobody can store: a clear 4xx, and nothing stored."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.webshop import XML_HTTP_REQUEST, WebShop, card, dump, expect_rejection

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATHS = pytest.mark.parametrize("path", ["/payment", "/tokenize"])

#: What each path misses in an empty body.
REQUIRED = {
    "/payment": {"paymentSource", "sku", "consumer", "url.ipnUrl", "url.redirectUrl"},
    "/tokenize": {"number", "expirationYear", "expirationMonth"},
}


async def send(shop: WebShop, path: str, content: Any, **headers: str) -> Any:
    """Post bytes as they are, with everything else as it has to be."""
    return await shop.post(path, content=content, headers=XML_HTTP_REQUEST | headers)


@PATHS
@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/json", "application/jsonp"],
)
async def test_body_of_another_type_is_415(refusing_shop: WebShop, path: str, content_type: str) -> None:
    """A body without the content type of JSON is 415, even if it is JSON."""
    answer = await send(refusing_shop, path, dump(card()), **{"Content-Type": content_type})
    await expect_rejection(refusing_shop, answer, status=415)


@PATHS
@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON", " application/json "])
async def test_content_type_ignores_case_and_parameters(refusing_shop: WebShop, path: str, content_type: str) -> None:
    """Parameters and the case of the content type do not matter."""
    answer = await send(refusing_shop, path, b"{}", **{"Content-Type": content_type})
    await expect_rejection(refusing_shop, answer, *REQUIRED[path])


@PATHS
@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b" [ ] \n"])
async def test_empty_body_is_an_empty_object(refusing_shop: WebShop, path: str, content: bytes) -> None:
    """No body and the `[]` of PHP are an empty object: every required field is named at once."""
    await expect_rejection(refusing_shop, await send(refusing_shop, path, content), *REQUIRED[path])


@PATHS
async def test_empty_body_needs_no_content_type(refusing_shop: WebShop, path: str) -> None:
    """A request without a body needs no content type."""
    answer = await send(refusing_shop, path, b"", **{"Content-Type": ""})
    await expect_rejection(refusing_shop, answer, *REQUIRED[path])


@PATHS
@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"}",
        b"{'number': 1}",
        b'{"a": 1,}',
        b'{"a" 1}',
        b"nul",
        b" ",
        b'{"a": 01}',
        b'{"a": "\t"}',
        b"{} {}",
        b"\0",
    ],
)
async def test_malformed_body_is_400(refusing_shop: WebShop, path: str, content: bytes) -> None:
    """A body that is not JSON is 400 with the position of its fault."""
    answer = await send(refusing_shop, path, content)
    await expect_rejection(refusing_shop, answer)
    assert answer.json()["message"].startswith("The body is not JSON: line ")


@PATHS
@pytest.mark.parametrize("content", [b"5", b'"text"', b"null", b"true", b"[1]", b"[{}]", b"1.5"])
async def test_body_that_is_no_object_is_400(refusing_shop: WebShop, path: str, content: bytes) -> None:
    """JSON of another kind than an object is 400."""
    answer = await send(refusing_shop, path, content)
    await expect_rejection(refusing_shop, answer)
    assert answer.json()["message"] == "The body must be a JSON object."


@PATHS
@pytest.mark.parametrize(
    "content",
    [
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\xc0\xaf"}',
        '{"a": "é"}'.encode("latin-1"),
        '{"a": 1}'.encode("utf-16"),
    ],
    ids=["no byte of UTF-8", "a surrogate", "overlong", "Latin-1", "UTF-16"],
)
async def test_other_encoding_than_utf8_is_400(refusing_shop: WebShop, path: str, content: bytes) -> None:
    """JSON is UTF-8 (RFC 8259, 8.1)."""
    answer = await send(refusing_shop, path, content)
    await expect_rejection(refusing_shop, answer)
    assert answer.json()["message"] == "The body must be UTF-8."


@PATHS
@pytest.mark.parametrize(
    ("content", "paths"),
    [
        (b'{"number": "1", "number": "2"}', ["number"]),
        (b'{"sku": {"title": "a", "title": "b"}}', ["sku.title"]),
        (b'{"sku": {"price": [{}, {"amount": 1, "amount": 2, "currency": 1, "currency": 1}]}}',
         ["sku.price.1.amount", "sku.price.1.currency"]),
        (b'{"a": {"a": 1, "a": 2}, "b": 1, "b": {"c": 1, "c": 1, "c": 1}}', ["a.a", "b", "b.c"]),
        (b'{"\\u0061": 1, "a": 1}', ["a"]),
    ],
)  # fmt: skip
async def test_doubled_key_is_named(refusing_shop: WebShop, path: str, content: bytes, paths: list[str]) -> None:
    """Each key that occurs twice is named, because neither value may be guessed."""
    errors = await expect_rejection(refusing_shop, await send(refusing_shop, path, content), *paths)
    assert {text for texts in errors.values() for text in texts} == {"is given twice"}


@PATHS
async def test_doubled_key_is_shown_as_far_as_possible(refusing_shop: WebShop, path: str) -> None:
    """The name of a doubled key is shown without half surrogate pairs, card numbers and long texts."""
    content = b'{"\\ud800": 1, "\\ud800": 1, "4024007179366348": 1, "4024007179366348": 1, "%(x)s": 1, "%(x)s": 1}'
    answer = await send(refusing_shop, path, content.replace(b"%(x)s", b"x" * 500))
    assert "4024007179366348" not in answer.text
    assert answer.status_code == 400
    assert len(answer.json()["errors"]) == 3
    assert max(map(len, answer.json()["errors"])) <= 128


@PATHS
@pytest.mark.parametrize(
    "number",
    ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1e-999", "1e99999999999999999999", "1e-99999999999999999999",
     "0e99999999999999999999", "9" * 41, "0." + "1" * 40, "9" * 5000, "1" * 4301 + ".5"],
    ids=lambda text: text[:24],
)  # fmt: skip
async def test_number_outside_json_is_400(refusing_shop: WebShop, path: str, number: str) -> None:
    """Numbers that JSON does not have, and those that no amount can be, are 400 before any calculation."""
    answer = await send(refusing_shop, path, f'{{"metadata": {{"a": {number}}}}}'.encode())
    await expect_rejection(refusing_shop, answer)
    assert "number" in answer.json()["message"]


@PATHS
@pytest.mark.parametrize(
    "content",
    [
        b'{"a":' * 11 + b"1" + b"}" * 11,
        b'{"a":' + b"[" * 11 + b"]" * 11 + b"}",
        b"[" * 4_000 + b"]" * 4_000,
        b'{"a":' * 1_300 + b"1" + b"}" * 1_300,
        b"[" * 8_000,
    ],
    ids=["objects", "lists", "4000 lists", "1300 objects", "never closed"],
)
async def test_deep_nesting_is_400(refusing_shop: WebShop, path: str, content: bytes) -> None:
    """A body that nests deeper than ten levels is 400, however deep."""
    answer = await send(refusing_shop, path, content)
    await expect_rejection(refusing_shop, answer)


@PATHS
@pytest.mark.parametrize(
    "text",
    ["\\u0000", "a\\u0000b", "\\ud83d", "\\ude00", "\\ude00\\ud83d", "\\ud83dx"],
)
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"cardHolder": "%s"}', "cardHolder"),
        ('{"metadata": {"x%s": 1}}', "metadata.x"),
        ('{"metadata": {"a": [["%s"]]}}', "metadata.a.0.0"),
    ],
)
async def test_text_that_cannot_be_stored_is_named(
    refusing_shop: WebShop, path: str, body: str, field: str, text: str
) -> None:
    """NUL and halves of surrogate pairs, which PostgreSQL cannot store, are 400 by their field."""
    answer = await send(refusing_shop, path, (body % text).encode())
    assert answer.status_code == 400
    (named,) = answer.json()["errors"]
    assert named.startswith(field)


@pytest.mark.parametrize(("path", "limit"), [("/payment", 64 * 1024), ("/tokenize", 8 * 1024)])
@pytest.mark.parametrize("way", ["with its length", "in chunks"])
async def test_body_over_the_limit_is_413(refusing_shop: WebShop, path: str, limit: int, way: str) -> None:
    """A body at the limit is read, and one of a byte more is 413, with or without its length."""
    for size, status in ((limit, 400), (limit + 1, 413), (limit + 1024, 413)):
        content = b"{" + b" " * (size - 2) + b"}"
        answer = await send(refusing_shop, path, in_chunks(content) if way == "in chunks" else content)
        await expect_rejection(refusing_shop, answer, *(REQUIRED[path] if status == 400 else ()), status=status)


@PATHS
@pytest.mark.parametrize(("length", "status"), [("10", 413), ("-1", 413), ("²", 400), ("x", 400)])
async def test_received_length_counts(refusing_shop: WebShop, path: str, length: str, status: int) -> None:
    """The received length counts, not the announced one; a malformed length is 400."""
    answer = await send(refusing_shop, path, b" " * 70_000, **{"Content-Length": length})
    await expect_rejection(refusing_shop, answer, status=status)


@PATHS
async def test_too_large_announced_length_is_rejected_unread(refusing_shop: WebShop, path: str) -> None:
    """A body with a too large announced length is rejected without being read."""
    read = []

    async def body() -> AsyncIterator[bytes]:
        read.append(True)
        yield b"{}"

    answer = await send(refusing_shop, path, body(), **{"Content-Length": "70000"})
    await expect_rejection(refusing_shop, answer, status=413)
    assert not read


async def test_rejection_repeats_no_value(refusing_shop: WebShop) -> None:
    """A rejection names the field and the fault, and never the value."""
    canary = "canary-7f3a"
    faulty = {"paymentSource": {"type": canary}, "sku": {"siteId": canary}, "consumer": {"ip": canary}}
    contents = [
        f'{{"{canary}": }}',
        f'"{canary}"',
        f'{{"a": "{canary}\\u0000"}}',
        f'{{"url": {{"ipnUrl": "{canary}"}}}}',
        json.dumps(faulty),
    ]
    for content in contents:
        answer = await send(refusing_shop, "/payment", content.encode())
        assert answer.status_code == 400
        assert canary not in answer.text


async def in_chunks(content: bytes) -> AsyncIterator[bytes]:
    """Cut a body into chunks, as one that is sent without a length."""
    for start in range(0, len(content), 1000):
        yield content[start : start + 1000]
