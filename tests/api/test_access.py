"""Who may call: keys, addresses, proxies."""

from __future__ import annotations

from datetime import timedelta

from tests.support.webshop import TABLES, OpenShop, WebShop, add_key, card, consumer, expect_rejection, open_client

ALLOWED = "198.51.100.7"
PROXY = "10.0.0.1"


async def look_up(shop: WebShop, key: str, *, address: str = "127.0.0.1", forwarded: tuple[str, ...] = ()) -> int:
    """Get a payment from an address, and return the status: 404 for whom is let in."""
    headers = [("Authorization", key), *(("X-Forwarded-For", value) for value in forwarded)]
    async with open_client(shop.web, address=address) as client:
        answer = await client.get("/payment/1", headers=headers)
    assert answer.json()["errors"] == {}
    return answer.status_code


async def test_missing_key_is_401(shop: WebShop) -> None:
    """A request without a key is 401 on every path that needs one, whatever else is wrong with it."""
    for answer in (await shop.pay({}, key=""), await shop.pay(content=b"{", key="", headers={"Content-Type": ""})):
        await expect_rejection(shop, answer, status=401)
        assert answer.json()["message"] == "The API key is missing. Send it in the Authorization header."
    assert (await shop.get("/payment/1", key="")).status_code == 401


async def test_wrong_key_is_401(shop: WebShop) -> None:
    """An unknown key is 401."""
    for key in ("th_stage_" + "0" * 40, "x", "Bearer", "Basic dGg6", "k" * 5000, "ké", "0"):
        await expect_rejection(shop, await shop.pay(key=key), status=401)


async def test_part_of_a_key_is_401(shop: WebShop) -> None:
    """A shortened, extended or otherwise written key is 401."""
    for key in (shop.merchant.key[:-1], shop.merchant.key + "0", shop.merchant.key.upper()):
        await expect_rejection(shop, await shop.pay(key=key), status=401)


async def test_key_of_the_other_environment_is_named(shop: WebShop, opened: OpenShop) -> None:
    """The response to a key of the other environment names both environments."""
    answer = await shop.pay(key="th_live_0000")
    await expect_rejection(shop, answer, status=401)
    assert answer.json()["message"] == "This API key is for live, but this gateway is stage. Use one of its own keys."
    live = await opened(environment="live")
    assert (await live.pay(key="th_stage_0000")).json()["message"].startswith("This API key is for stage")


async def test_expired_key_is_rejected(shop: WebShop) -> None:
    """A key is valid until its expiry."""
    expired, good = [await add_key(shop, expires_in=timedelta(hours=hours)) for hours in (-1, 1)]
    answer = await shop.pay(key=expired)
    await expect_rejection(shop, answer, status=401)
    assert answer.json()["message"] == "The API key has expired. Use another key."
    assert (await shop.pay(key=good)).status_code == 201


async def test_address_off_the_list_is_rejected(shop: WebShop) -> None:
    """A key with a list of addresses is 403 from any other address, whatever headers the request has."""
    key = await add_key(shop, networks=["198.51.100.0/24", "2001:db8::/32"])
    await expect_rejection(shop, await shop.pay(key=key), status=403)
    assert await look_up(shop, key, address=ALLOWED) == 404
    assert await look_up(shop, key, address="2001:db8::7") == 404
    assert await look_up(shop, key, address="::ffff:198.51.100.7") == 404
    assert await look_up(shop, key, address="198.51.101.7") == 403
    assert await look_up(shop, key, address="unix") == 403
    assert await look_up(shop, key, address="203.0.113.1", forwarded=(ALLOWED,)) == 403


FORWARDED = (
    ((ALLOWED,), 404),
    ((f"203.0.113.9, {ALLOWED}",), 404),
    ((f"{ALLOWED}, 203.0.113.9",), 403),
    ((f"{ALLOWED}, 10.9.9.9",), 404),
    ((f"{ALLOWED} , 10.9.9.9,10.9.9.8",), 404),
    ((ALLOWED, "203.0.113.9"), 403),
    (("203.0.113.9", ALLOWED), 404),
    ((f"::ffff:{ALLOWED}",), 404),
    ((f"{ALLOWED}:49152",), 404),
    ((f"[::ffff:{ALLOWED}]:443, 10.9.9.9:80",), 404),
    ((f"{ALLOWED}, 203.0.113.9:80",), 403),
    ((f"{ALLOWED}, unknown",), 403),
    ((), 403),
    (("",), 403),
)


async def test_caller_behind_proxies_is_the_nearest_untrusted_address(opened: OpenShop) -> None:
    """Behind trusted proxies the caller is the nearest address that is not a proxy; earlier ones may be forged."""
    for proxies, network in (
        ("10.0.0.0/8, 2001:db8:ffff::/48", "198.51.100.0/24"),
        ("::ffff:10.0.0.0/104, 2001:db8:ffff::/48", "::ffff:198.51.100.0/120"),
    ):
        shop = await opened(trusted_proxies=proxies)
        key = await add_key(shop, networks=[network])
        for forwarded, status in FORWARDED:
            for proxy in (PROXY, "2001:db8:ffff::1", f"::ffff:{PROXY}"):
                assert await look_up(shop, key, address=proxy, forwarded=forwarded) == status, (proxy, forwarded)
            assert await look_up(shop, key, address="203.0.113.1", forwarded=forwarded) == 403


SPELLINGS = ("203.0.113.45", "::ffff:203.0.113.45", "203.0.113.45:443", "[::FFFF:203.0.113.45]:80")


async def test_limits_count_one_address_once(opened: OpenShop) -> None:
    """A limit counts all spellings of an address as one, and another address as another."""
    for setting, value, status in (("tokenize_by_address", 3, 429), ("unknown_keys_by_address", 3, 429)):
        shop = await opened(trusted_proxies="127.0.0.0/8", **{setting: value})
        statuses = []
        for address in (*SPELLINGS, "203.0.113.46"):
            headers = {"X-Forwarded-For": address}
            if setting == "tokenize_by_address":
                statuses.append((await shop.tokenize(headers=headers)).status_code)
            else:
                statuses.append((await shop.pay(key="th_stage_unknown", headers=headers)).status_code)
        assert [code == status for code in statuses] == [False, False, False, True, False], (setting, statuses)
    shop = await opened(velocity_attempts_by_address=3)
    codes = []
    for number, address in enumerate((*SPELLINGS, "203.0.113.46")):
        answer = await shop.pay(shop.payment(consumer=consumer(id=f"user-{number}", ip=address)))
        codes.append(answer.json()["payment"]["code"])
    assert codes == ["0", "0", "0", "1002", "0"]


#: Calls that read the API key in different ways: as JSON, without a body, from a query, and from a form.
KEYED_CALLS = (
    ("POST", "/payment"),
    ("GET", "/payment/1"),
    ("GET", "/feed/transactions"),
    ("POST", "/payment/1/credit"),
    ("POST", "/stage/clock"),
    ("POST", "/epayment/lib/paypage_api/pay.php"),
)


async def test_unknown_keys_are_limited_on_every_kind_of_call(opened: OpenShop) -> None:
    """After too many unknown keys an address is 429 with them on any call, and its known key still works."""
    shop = await opened(unknown_keys_by_address=2)
    for number in range(2):
        assert (await shop.get("/payment/1", key=f"th_stage_{number}")).status_code == 401
    for method, path in KEYED_CALLS:
        answers = [
            await shop.client.request(method, path, content=b"{}", headers={"Authorization": key})
            for key in ("th_stage_2", "x" * 300, shop.merchant.key)
        ]
        assert [answer.status_code == 429 for answer in answers] == [True, True, False], path
        assert {answer.status_code for answer in answers}.isdisjoint({401, 403}), path
        assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in answers[:2])


async def test_401_has_www_authenticate(shop: WebShop) -> None:
    """A response to a missing or wrong key names the authentication scheme."""
    for answer in (await shop.pay(key=""), await shop.pay(key="wrong"), await shop.get("/payment/1", key="wrong")):
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="tollhouse"')
    assert "www-authenticate" not in (await shop.get("/payment/1")).headers


async def test_key_is_accepted_bare_and_after_bearer(shop: WebShop) -> None:
    """The key is accepted as public clients send it, and after `Bearer`."""
    for form in ("{}", "Bearer {}", "bearer {}", "BEARER  {}", " {} "):
        assert (await shop.pay(key=form.format(shop.merchant.key))).status_code == 201, form


async def test_other_merchants_see_nothing(shop: WebShop) -> None:
    """Objects of one merchant do not exist for another."""
    body = (await shop.pay()).json()
    transaction = f"/payment/{body['payment']['transactionId']}"
    assert (await shop.get(transaction)).status_code == 200
    assert (await shop.get(transaction, key=shop.other.key)).json() == (await shop.get("/payment/1")).json()
    token = await shop.token_for(shop.merchant)
    stored = await shop.count_rows()
    account, person = body["payment"]["source"]["paymentAccountId"], body["consumer"]["id"]
    sku = shop.sku(siteId=str(shop.other.site_id))
    for source, path in (
        ({"type": "paymentAccountId", "paymentAccountId": account}, "paymentSource.paymentAccountId"),
        ({"type": "consumer", "id": person}, "paymentSource.id"),
        ({"type": "token", "token": token}, "paymentSource.token"),
    ):
        answer = await shop.pay(shop.payment(source, sku=sku), key=shop.other.key)
        await expect_rejection(shop, answer, path, stored=stored)
    answer = await shop.pay(key=shop.other.key)
    await expect_rejection(shop, answer, "sku.siteId", stored=stored)


async def test_consumer_id_of_another_merchant_is_a_new_name(shop: WebShop) -> None:
    """The consumer ID of another merchant is an external ID like any other."""
    person = (await shop.pay()).json()["consumer"]["id"]
    body = shop.payment(sku=shop.sku(siteId=str(shop.other.site_id)))
    body["consumer"]["id"] = person
    answer = await shop.pay(body, key=shop.other.key)
    assert answer.status_code == 201
    assert answer.json()["consumer"]["id"] != person
    assert answer.json()["consumer"]["externalId"] == person


async def test_unusable_key_on_tokenize_counts_as_none(shop: WebShop) -> None:
    """On `/tokenize` an unusable key counts as none: any merchant may use the token."""
    expired = await add_key(shop, expires_in=timedelta(hours=-1))
    elsewhere = await add_key(shop, networks=["198.51.100.0/24"])
    for key in ("", "wrong", expired, elsewhere):
        assert (await shop.tokenize(key=key)).status_code == 201
    assert [row["merchant_id"] for row in await shop.fetch("select merchant_id from token")] == [None] * 4
    assert (await shop.tokenize(card(), key=shop.merchant.key)).status_code == 201
    owners = await shop.fetch("select merchant_id from token where merchant_id is not null")
    assert [row["merchant_id"] for row in owners] == [shop.merchant.merchant_id]
    assert set(TABLES) - {"token", "security_code"} == {
        table for table, count in (await shop.count_rows()).items() if not count
    }
