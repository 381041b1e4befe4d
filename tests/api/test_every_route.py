"""Every route of the table that takes a body: no card number in a text is kept, shown or logged, no rubbish is 5xx."""

from __future__ import annotations

import base64
import re
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs
from tests.support.every_route import RUBBISH, fill, find_writes, ids_of_path, leaves, make_ids
from tests.support.issuing import number_of
from tests.support.webshop import OpenShop, WebShop, dump, open_client

from tollhouse.http.screen import MESSAGE
from tollhouse.merchants.people import ensure_user

NUMBER = number_of("mastercard")
WRITTEN = f"card {NUMBER[:4]} {NUMBER[4:8]}-{NUMBER[8:]} of Jane"
SECRET = "the secret of the Directory"
EMAIL, PASSWORD = "ann@shop.example", "correct horse battery 9"
#: Pages with their forms' fields, and machines' messages: what is no JSON call of the API.
FORMS = {
    "/pay/{key}": ("try", "proof", "account", "expiry", "code", "holder", "zip"),
    "/3ds/{key}": (),
    "/3ds/return/{key}": ("cres", "threeDSSessionData"),
    "/3ds/method/{key}": ("threeDSMethodData",),
    "/portal/sign-in": ("email", "next_page", "form_token"),
    "/portal/sign-out": ("form_token",),
    "/portal/payments/{transaction_id}/callbacks/{event_id}/{number}/again": ("form_token",),
    "/simulator/acs/challenge": ("creq", "threeDSSessionData"),
    "/simulator/acs/challenge/answer": ("acsTransID", "attempt", "act", "code", "threeDSSessionData"),
    "/simulator/acs/method": ("threeDSMethodData",),
    "/simulator/acs/method/silent": (),
    "/epayment/lib/paypage_api/pay.php": ("fmt", "method", "username", "external_user_id", "customer_remote_addr"),
}
BROWSER_FIELDS = ("browserLanguage", "browserColorDepth", "browserTimezone", "browserJavaEnabled", "anything")
#: Some calls that read a body: JSON that nobody should read is 400 there, and not only no 5xx.
READING = {
    f"POST {path}"
    for path in ("/payment", "/tokenize", "/sku", "/consumer", "/stage/clock", "/stage/faults", "/stage/3ds/{order_id}")
}
MACHINES = ("/3ds/results", "/stage/inbox")


@pytest.fixture
async def shop(opened: OpenShop) -> WebShop:
    """An application with a person who may sign in, and a Directory that is known."""
    shop = await opened(directory_secret=SECRET)
    async with shop.gateway.database.acquire() as connection:
        await ensure_user(connection, merchant_id=1, email=EMAIL, password=PASSWORD)
    return shop


async def dump_tables(shop: WebShop) -> str:
    """Return all that is kept, as text; bytes are in hexadecimal digits."""
    tables = await shop.fetch(
        "select table_schema, table_name from information_schema.tables "
        "where table_schema in ('gateway', 'simulator') and table_type = 'BASE TABLE'"
    )
    assert len(tables) > 40
    kept: list[str] = []
    for schema, name in tables:
        kept += [row[0] for row in await shop.fetch(f"select t::text from {schema}.{name} t")]  # noqa: S608 - its names
    return "\n".join(kept)


def check_is_hidden(text: str) -> None:
    """Check that the number stands nowhere, neither in digits, nor in groups, nor in bytes."""
    assert NUMBER not in re.sub(r"[ .%+-]", "", text)
    assert NUMBER.encode().hex() not in text


async def test_no_route_keeps_or_shows_a_card_number(shop: WebShop) -> None:
    """A card number in any text of a body or form is refused or left out: no table, page, response or log has it."""
    ids = await make_ids(shop)
    document = (await shop.get("/openapi.json")).json()
    with capture_logs() as lines:
        for method, path in find_writes(shop.web.routes):
            target = fill(path, ids_of_path(path, ids))
            if path in FORMS:
                await send_forms(shop, method, target, FORMS[path])
            elif path not in MACHINES:
                await send_json(shop, method, target, example_of(document, method, path))
        await sign_in(shop)
    check_is_hidden(str(lines))
    check_is_hidden(await dump_tables(shop))


def example_of(document: dict[str, Any], method: str, path: str) -> dict[str, Any]:
    """Return a body with each field that the documentation names, with the number in it."""
    call = document["paths"].get(path, {}).get(method.lower(), {})
    content = next(iter(call.get("requestBody", {}).get("content", {"": {}}).values()))
    built = _build(document, content.get("schema", {}), 0)
    return built if isinstance(built, dict) else {}


def _build(document: dict[str, Any], schema: dict[str, Any], depth: int) -> Any:
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            schemas = [each for each in schema[several] if each.get("type") != "null"]
            return _build(document, schemas[0], depth)
    if "properties" in schema and depth < 6:
        return {name: _build(document, child, depth + 1) for name, child in schema["properties"].items()}
    if schema.get("type") == "array":
        return [_build(document, schema.get("items", {}), depth + 1)]
    return {"note": WRITTEN} if schema.get("type") == "object" else WRITTEN


async def send_json(shop: WebShop, method: str, path: str, example: dict[str, Any]) -> None:
    """Put the number into every field of a call, and into fields that nobody knows; every one is named."""
    body = example | {"anything": WRITTEN, "nested": {"list": [int(NUMBER)]}, f"key {NUMBER}": 1}
    named = {path for path in leaves(body) if NUMBER not in path and path.rpartition(".")[2] != "number"}
    headers = {"Authorization": shop.merchant.key, "Content-Type": "application/json"}
    headers |= {"x-requested-with": "XMLHttpRequest", "User-Agent": WRITTEN}
    for sent in (body, {"anything": WRITTEN, "nested": {"list": [int(NUMBER)]}}):
        answer = await shop.client.request(method, path, content=dump(sent), headers=headers)
        check_is_hidden(answer.text + str(answer.headers))
        if answer.status_code == 400:
            errors = answer.json()["errors"]
            expected = named if sent is body else {"anything", "nested.list.0"}
            assert not expected - {field for field, texts in errors.items() if texts}, (path, errors)
            assert MESSAGE in str(errors)
        else:  # a call without a body
            assert not example, (path, answer.status_code, answer.text)


async def send_forms(shop: WebShop, method: str, path: str, fields: tuple[str, ...]) -> None:
    """Put the number into every field of a form, one at a time and all at once."""
    names = (*fields, *BROWSER_FIELDS)
    forms = [dict.fromkeys(names, WRITTEN), *({name: WRITTEN} for name in names), {WRITTEN: "1"}]
    async with open_client(shop.web) as browser:
        for form in forms:
            headers = {"User-Agent": WRITTEN, "Accept": WRITTEN, "Sec-Fetch-Site": "same-origin"}
            if path.startswith("/epayment"):
                headers["Authorization"] = shop.merchant.key
            answer = await browser.request(method, path, data=form, headers=headers)
            assert answer.status_code < 500
            check_is_hidden(answer.text + str(answer.headers))


async def sign_in(shop: WebShop) -> None:
    """Type the number as an e-mail address, and then as a password, into the portal's own form."""
    async with open_client(shop.web) as browser:
        for email, password in ((WRITTEN, PASSWORD), (f"{NUMBER}@shop.example", PASSWORD), (EMAIL, NUMBER)):
            page = await browser.get("/portal/sign-in")
            token = re.search(r'name="form_token" value="([^"]+)"', page.text)
            assert token
            form = {
                "form_token": token[1],
                "email": email,
                "password": password,
                "next_page": f"/portal/payments/{NUMBER}",
            }
            answer = await browser.post("/portal/sign-in", data=form)
            assert answer.status_code == 401
            check_is_hidden(answer.text + str(answer.headers))


async def test_a_slip_on_the_payment_page_is_kept_nowhere(shop: WebShop) -> None:
    """The page of a payment refuses a number beside its field, and browser data with one are not kept."""
    ids = await make_ids(shop)
    path = f"/pay/{ids['/pay']}"
    headers = {"User-Agent": f"Browser {NUMBER}", "Accept": f"text/{NUMBER}", "Sec-Fetch-Site": "same-origin"}
    page = await shop.client.get(path)
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page.text))
    form = hidden | {"number": number_of("visa"), "expiry": "12/29", "code": "123", "holder": "Jane", "zip": "10001"}
    for field in ("holder", "zip"):
        answer = await shop.client.post(path, data=form | {field: NUMBER}, headers=headers)
        assert answer.status_code == 400
        check_is_hidden(answer.text)
    answer = await shop.client.post(path, data=form | {"browserLanguage": NUMBER, "anything": NUMBER}, headers=headers)
    assert answer.status_code == 200, answer.text
    check_is_hidden(answer.text)
    check_is_hidden(await dump_tables(shop))


async def test_no_rubbish_is_a_defect(shop: WebShop) -> None:
    """Whatever route a body is sent to that is no JSON, or JSON that nobody should read, the answer is no 5xx."""
    ids = await make_ids(shop)
    headers = {"Authorization": shop.merchant.key, "x-requested-with": "XMLHttpRequest"}
    calls = find_writes(shop.web.routes)
    assert len(calls) > 45
    with capture_logs() as lines:
        for method, path in calls:
            target = fill(path, ids_of_path(path, ids))
            own = {"Authorization": f"Bearer {SECRET}"} if path == "/3ds/results" else {}
            for body in RUBBISH:
                is_form = path in FORMS
                kind = "application/x-www-form-urlencoded" if is_form else "application/json"
                sent = [body, *(pack(name, body) for name in FORMS.get(path, ()) if is_form)]
                for content in sent:
                    answer = await shop.client.request(
                        method, target, content=content, headers=headers | own | {"Content-Type": kind}
                    )
                    assert answer.status_code < 500, (method, path, content[:40], answer.text)
                    check_status(f"{method} {path}", body, answer)
    assert not [line for line in lines if line["log_level"] == "error"]


def check_status(call: str, body: bytes, answer: httpx.Response) -> None:
    """Check that JSON which nobody should read is 400 wherever a call reads a body."""
    reads = call in READING
    if reads and body not in (b"", b"\xef\xbb\xbf{}"):
        assert answer.status_code == 400, (call, body[:40], answer.status_code)


def pack(name: str, body: bytes) -> bytes:
    """Return a form with a body in one of its fields, as messages of 3-D Secure travel."""
    return name.encode() + b"=" + base64.urlsafe_b64encode(body).rstrip(b"=")
