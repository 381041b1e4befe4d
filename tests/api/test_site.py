"""Sites: made, read and changed by their merchant, and by nobody else."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.support.webshop import OpenShop, WebShop, price

pytestmark = pytest.mark.asyncio(loop_scope="module")

SITE = {
    "name": "shop.example.com",
    "externalId": "shop-1",
    "ipnUrl": "https://your-server.example.com/ipn?wc-api=wc_gateway",
    "redirectUrl": "http://localhost/thanks",
}
#: What the public client's getters cannot do without.
STRINGS = ("id", "name", "externalId", "ipnUrl", "redirectUrl", "createdAt", "updatedAt")
BOOLEANS = ("corsEnabled", "status", "autoRedirect")


async def make_site(shop: WebShop, **changes: Any) -> dict[str, Any]:
    """Make a site and return the answer."""
    answer = await shop.post("/site", SITE | changes)
    assert answer.status_code == 201, answer.text
    site: dict[str, Any] = answer.json()
    return site


async def test_a_site_is_made(refusing_shop: WebShop) -> None:
    """The answer has every key that clients read, with the right kind of value, and so has a later look."""
    shop = refusing_shop
    site = await make_site(shop)
    assert {name: site[name] for name in SITE} == SITE
    assert all(isinstance(site[name], str) for name in STRINGS)
    assert all(isinstance(site[name], bool) for name in BOOLEANS)
    assert 5 <= len(site["id"]) <= 36
    assert site["createdAt"] == site["updatedAt"]
    assert (await shop.get(f"/site/{site['id']}")).json() == site


async def test_every_site_has_its_technical_product(refusing_shop: WebShop) -> None:
    """`TECH_` and the site's id name a product, for sites made by the API and for those that were there before."""
    shop = refusing_shop
    for site_id in ((await make_site(shop))["id"], shop.merchant.site_id):
        sku = (await shop.get(f"/sku/TECH_{site_id}")).json()
        assert (sku["siteId"], sku["price"], sku["showOnPaymentPage"]) == (str(site_id), 0, False)


@pytest.mark.parametrize("missing", ["name", "externalId", "ipnUrl"])
async def test_what_a_site_cannot_be_without(refusing_shop: WebShop, missing: str) -> None:
    """A site needs a name, an external id and an address for callbacks; the address to return to may come later."""
    answer = await refusing_shop.post("/site", {name: value for name, value in SITE.items() if name != missing})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [missing])
    site = await make_site(refusing_shop, redirectUrl="")
    assert site["redirectUrl"] == ""


@pytest.mark.parametrize(
    ("changes", "faulty"),
    [
        ({"name": "localhost"}, "name"),
        ({"name": "Shop.example.com"}, "name"),
        ({"name": "shop_.example.com"}, "name"),
        ({"name": "-shop.example.com"}, "name"),
        ({"name": "shop.example.c"}, "name"),
        ({"name": "shop.example.com."}, "name"),
        ({"name": "https://shop.example.com"}, "name"),
        ({"name": f"{'a.' * 126}com"}, "name"),
        ({"name": ["shop.example.com"]}, "name"),
        ({"externalId": "ab"}, "externalId"),
        ({"externalId": "x" * 65}, "externalId"),
        ({"ipnUrl": "ftp://shop.example.com"}, "ipnUrl"),
        ({"redirectUrl": "thanks"}, "redirectUrl"),
        ({"redirectUrl": "https://shop.example.com/" + "x" * 2_048}, "redirectUrl"),
        ({"status": "disabled"}, "status"),
        ({"descriptor": "x" * 26}, "descriptor"),
        ({"descriptor": "Käse"}, "descriptor"),
        ({"threeDs": "never"}, "threeDs"),
        ({"ipnFormat": "xml"}, "ipnFormat"),
        ({"linkColor": "red"}, "linkColor"),
        ({"bgColor1": "#12345"}, "bgColor1"),
        ({"trackingCode": "x" * 256}, "trackingCode"),
        ({"rebillRetryPolicy": "sometimes"}, "rebillRetryPolicy"),
        ({"rebillRetryPolicy": "3,1"}, "rebillRetryPolicy"),
        ({"rebillRetryPolicy": "1,61"}, "rebillRetryPolicy"),
        ({"logoBase64": "<svg>"}, "logoBase64"),
        ({"logoBase64": "A" * 40_001}, "logoBase64"),
    ],
)
async def test_faulty_fields_of_a_site(refusing_shop: WebShop, changes: dict[str, Any], faulty: str) -> None:
    """A field that is not what it should be is named, whether the site is made or changed."""
    made = await refusing_shop.post("/site", SITE | changes)
    changed = await refusing_shop.put(f"/site/{refusing_shop.merchant.site_id}", changes)
    for answer in (made, changed):
        assert (answer.status_code, list(answer.json()["errors"])) == (400, [faulty])


async def test_bounds_of_a_site_at_their_edges(refusing_shop: WebShop) -> None:
    """The shortest and the longest of each field is taken and comes back as sent."""
    shortest = {"name": "a.bc", "externalId": "abc", "linkColor": "fff"}
    longest = {
        "name": f"{'a' * 63}.{'b' * 60}." * 2 + "com",
        "externalId": "x" * 64,
        "descriptor": "x" * 25,
        "trackingCode": "x" * 255,
        "declineUrl": "https://shop.example.com/" + "x" * 2_023,
        "bgBodyColor": "#00FF7f",
        "logoBase64": "A" * 40_000,
    }
    for fields in (shortest, longest):
        site = await make_site(refusing_shop, **fields)
        assert {name: site[name] for name in fields} == fields


async def test_a_retry_policy_comes_back_as_sent(refusing_shop: WebShop) -> None:
    """What a site says about retries is checked and kept as it was written; a faulty one is answered with the rule."""
    shop = refusing_shop
    path = f"/site/{(await make_site(shop, rebillRetryPolicy='1, 3,5'))['id']}"
    assert (await shop.get(path)).json()["rebillRetryPolicy"] == "1, 3,5"
    for text in ("default", "Enabled", "disabled", "60"):
        assert (await shop.put(path, {"rebillRetryPolicy": text})).json()["rebillRetryPolicy"] == text
    refused = await shop.put(path, {"rebillRetryPolicy": "1,3,5,x"})
    assert refused.status_code == 400
    assert "must be default, disabled, or up to 10" in refused.json()["errors"]["rebillRetryPolicy"][0]
    assert (await shop.put(path, {"rebillRetryPolicy": ""})).json()["rebillRetryPolicy"] == "60"


async def test_all_faults_at_once(refusing_shop: WebShop) -> None:
    """Every faulty field is named in one answer."""
    answer = await refusing_shop.post("/site", {"name": "x", "status": "x", "linkColor": "x"})
    assert set(answer.json()["errors"]) == {"name", "externalId", "ipnUrl", "status", "linkColor"}


async def test_only_what_is_sent_changes(refusing_shop: WebShop) -> None:
    """A field that is left out, null or empty stays, and so does all of a site when `[]` is sent."""
    shop = refusing_shop
    site = await make_site(shop, linkColor="#fff", trackingCode="T-1", corsEnabled=False)
    path = f"/site/{site['id']}"
    empty: list[Any] = [[], {}, {"name": "", "ipnUrl": None}]
    for nothing in empty:
        assert (await shop.put(path, nothing)).json() == site
    change = {"status": "false", "linkColor": "#000", "threeDs": "always", "ipnFormat": "both", "delayedCapture": 1}
    changed = (await shop.put(path, change)).json()
    assert changed == site | change | {"status": False, "delayedCapture": True, "updatedAt": changed["updatedAt"]}
    assert (await shop.get(path)).json() == changed


async def test_concurrent_changes_lose_nothing(refusing_shop: WebShop) -> None:
    """Two changes of different fields at the same time are both there afterwards."""
    shop = refusing_shop
    path = f"/site/{(await make_site(shop))['id']}"
    changes = {f"bgColor{number}": f"#00000{number}" for number in (1, 2, 3)} | {"name": "a.example", "status": False}
    answers = await asyncio.gather(*(shop.put(path, {name: value}) for name, value in changes.items()))
    assert {answer.status_code for answer in answers} == {200}
    site = (await shop.get(path)).json()
    assert {name: site[name] for name in changes} == changes


async def test_sites_of_others_are_not_there(refusing_shop: WebShop) -> None:
    """The id of another merchant is as unknown as one that was never issued, or that cannot be one."""
    shop = refusing_shop
    for site_id in (shop.other.site_id, 1, "x", "%00", 2**63, "9" * 40, "%20", "-1"):
        assert (await shop.get(f"/site/{site_id}")).status_code == 404
        assert (await shop.put(f"/site/{site_id}", {"name": "stolen.example"})).status_code == 404
    assert (await shop.get(f"/site/{shop.other.site_id}", key=shop.other.key)).json()["name"] == "shop2.example"


async def test_a_site_is_made_once_for_a_request_id(refusing_shop: WebShop) -> None:
    """A repeat gets the first answer, byte for byte; another body under the same id is refused."""
    shop = refusing_shop
    headers = {"X-Request-Id": "make a site".replace(" ", "-")}
    first, again = [await shop.post("/site", SITE, headers=headers) for _ in range(2)]
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert again.headers["idempotent-replay"] == "true"
    assert (await shop.post("/site", SITE | {"name": "other.example"}, headers=headers)).status_code == 422
    assert (await make_site(shop))["id"] != first.json()["id"]


async def test_payments_see_a_change_at_once(refusing_shop: WebShop) -> None:
    """A site that was switched off refuses the next payment, and sells again when it is switched on."""
    shop = refusing_shop
    site = await make_site(shop, descriptor="BEFORE")
    body = shop.payment(sku={"siteId": site["id"], "title": "Thing", "price": [price()]})
    assert (await shop.pay(body)).json()["payment"]["descriptor"] == "BEFORE"
    await shop.put(f"/site/{site['id']}", {"status": False})
    refused = await shop.pay(body)
    assert (refused.status_code, refused.json()["errors"]) == (400, {"sku.siteId": ["is disabled"]})
    await shop.put(f"/site/{site['id']}", {"status": True, "descriptor": "AFTER"})
    assert (await shop.pay(body)).json()["payment"]["descriptor"] == "AFTER"


async def test_a_site_with_faulty_json(refusing_shop: WebShop) -> None:
    """Bodies are read as everywhere: JSON, of bounded size, with a key."""
    shop = refusing_shop
    path = f"/site/{shop.merchant.site_id}"
    assert (await shop.post("/site", content=b"{")).status_code == 400
    assert (await shop.post("/site", content=b"[1]")).status_code == 400
    assert (await shop.post("/site", content=json.dumps({"x": "y" * 70_000}))).status_code == 413
    assert (await shop.post("/site", SITE, key="")).status_code == 401
    assert (await shop.put(path, SITE, key="x")).status_code == 401
    assert (await shop.get(path, key="x")).status_code == 401


@pytest.mark.asyncio(loop_scope="function")
async def test_addresses_in_live(opened: OpenShop) -> None:
    """Live takes https addresses only, none with a user name, and none that is a private address."""
    shop = await opened(environment="live")
    for url in ("http://shop.example/ipn", "https://a@shop.example/ipn", "https://127.0.0.1/ipn", "https://[::1]/ipn"):
        answer = await shop.post("/site", SITE | {"redirectUrl": "https://shop.example", "ipnUrl": url})
        assert (answer.status_code, list(answer.json()["errors"])) == (400, ["ipnUrl"])
    good = SITE | {"redirectUrl": "https://shop.example/thanks"}
    assert (await shop.post("/site", good)).status_code == 201
