"""Demanding authentication: what each answer of the Directory leads to, and what is committed before that."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.support.cardholders import World, open_world, payment_request

from tollhouse.storage.database import Database
from tollhouse.transport.model import NoResponse, Transport

ENDINGS = [
    ("frictionless", "success", "0"),
    ("frictionless_mastercard", "success", "0"),
    ("attempted", "success", "0"),
    ("denied", "fail", "1010"),
    ("unavailable", "success", "0"),
    ("rejected", "fail", "1010"),
    ("informational", "success", "0"),
]


@pytest.mark.parametrize(("card", "status", "code"), ENDINGS)
async def test_frictionless_at_once(world: World, card: str, status: str, code: str) -> None:
    """With the whole browser in the request a frictionless authentication ends in the same answer."""
    answer = await world.pay(card, browser=True)
    assert answer.status == 201
    payment = answer.json["payment"]
    assert (payment["status"], payment["code"], payment["action"]) == (status, code, "charge")


async def test_the_proof_reaches_the_issuer_and_is_kept(world: World) -> None:
    """What was proved goes into the authorization and stays in the row, as evidence."""
    answer = await world.pay("frictionless", browser=True)
    authentication = await world.authentication(answer)
    assert (authentication.state, authentication.trans_status, authentication.eci) == ("passed", "Y", "05")
    [row] = await world.fetch("select cavv from simulator.journal")
    assert row["cavv"] == authentication.cavv is not None
    assert authentication.due_at is None


async def test_unavailable_is_refused_where_the_site_says_so(world: World) -> None:
    """Status U ends as 1010 at a site that takes no payment without authentication."""
    await world.fetch("update site set proceed_without_3ds = false")
    answer = await world.pay("unavailable", browser=True)
    assert (answer.json["payment"]["status"], answer.json["payment"]["code"]) == ("fail", "1010")
    assert await world.fetch("select from simulator.journal") == []


async def test_without_browser_data_the_page_comes_before_the_directory(world: World) -> None:
    """The quickstart's request is answered with a redirect to our page, and nothing has been asked yet."""
    answer = await world.pay("challenge")
    payment = answer.json["payment"]
    assert (payment["status"], payment["action"], payment["code"]) == ("pending", "redirect", "0")
    assert payment["url"].startswith(f"{world.base_url}/3ds/")
    assert (await world.authentication(answer)).state == "collecting"
    assert (await world.payment(answer)).attempt.state == "challenged"
    assert await world.fetch("select from simulator.authentication") == []
    assert await world.fetch("select from attempt where resolve_at is not null") == []


async def test_a_method_of_the_range_comes_before_the_directory(world: World) -> None:
    """A 3DS Method needs a browser, so the whole browser in the request does not help."""
    answer = await world.pay("frictionless_method", browser=True)
    assert answer.json["payment"]["action"] == "redirect"
    assert (await world.authentication(answer)).method_url is not None


@pytest.mark.parametrize("missing", ["userAgent", "browserTimezone", "browserColorDepth", "browserAcceptHeader"])
async def test_an_incomplete_browser_is_none(world: World, missing: str) -> None:
    """One field missing, and our page collects them all."""
    body = payment_request("frictionless", browser=True)
    body["consumer"][missing] = ""
    answer = await world.call("/payment", body)
    assert answer.json["payment"]["action"] == "redirect"


async def test_a_challenge_is_committed_before_it_is_answered(world: World) -> None:
    """The redirect, the waiting attempt, the authentication and the sealed code are there together."""
    body = payment_request("challenge", browser=True)
    first, again = [await world.call("/payment", body, **{"X-Request-ID": "one"}) for _ in range(2)]
    assert first.json["payment"]["action"] == "redirect"
    assert first.text == again.text
    assert again.headers["Idempotent-Replay"] == "true"
    authentication = await world.authentication(first)
    assert (authentication.state, authentication.trans_status) == ("challenged", "C")
    assert authentication.acs_url is not None
    [code] = await world.fetch("select holder_id, expires_at from security_code")
    assert code["holder_id"] == authentication.series_id
    assert await world.fetch("select from event") == []


async def test_a_soft_decline_leads_to_the_page(world: World) -> None:
    """What the issuer wants authenticated is tried again with a proof: another attempt of the same transaction."""
    answer = await world.pay("challenge", three_ds=False)
    assert answer.json["payment"]["action"] == "redirect"
    assert (await world.authentication(answer)).challenge_indicator == "04"
    page = await world.challenge(answer)
    await world.come_back(page)
    payment = await world.settled(answer)
    assert (payment.status, payment.attempt.number) == ("success", 2)
    states = await world.fetch("select number, state, sealed_card is null as opened from attempt order by number")
    assert [tuple(row) for row in states] == [(1, "declined", True), (2, "approved", True)]
    assert await world.fetch("select from security_code") == []


@pytest.mark.parametrize("card", ["frictionless", "frictionless_mastercard", "unavailable"])
async def test_a_soft_decline_ends_at_once_where_nobody_is_asked(world: World, card: str) -> None:
    """With the whole browser in the request even the second attempt ends in the same answer."""
    answer = await world.pay(card, three_ds=False, browser=True)
    assert answer.json["payment"]["status"] == "success"
    attempts = await world.fetch("select state from attempt order by number")
    assert [row["state"] for row in attempts] == ["declined", "approved"]


async def test_a_soft_decline_before_a_challenge_at_once(world: World) -> None:
    """A declined attempt, the one that waits, and the redirect are three writes and one answer."""
    answer = await world.pay("challenge", three_ds=False, browser=True)
    assert (await world.authentication(answer)).state == "challenged"
    attempts = await world.fetch("select state from attempt order by number")
    assert [row["state"] for row in attempts] == ["declined", "challenged"]
    await world.answer_bank(answer, "pass")
    assert (await world.settled(answer)).status == "success"


async def test_a_verification_can_be_challenged(world: World) -> None:
    """A zero amount asks for a non-payment authentication and is approved with its proof."""
    body = payment_request("challenge", browser=True)
    body["sku"]["price"] = [{"offset": "0d", "amount": 0, "currency": "USD", "repeat": False}]
    answer = await world.call("/payment", body)
    [row] = await world.fetch("select message_category from simulator.authentication")
    assert row["message_category"] == "02"
    await world.answer_bank(answer, "pass")
    assert (await world.settled(answer)).status == "success"


async def test_a_challenge_in_the_banks_app(world: World) -> None:
    """Status D sends the cardholder to a page that waits; the RReq decides as always."""
    answer = await world.pay("decoupled", browser=True)
    assert answer.json["payment"]["action"] == "redirect"
    page = await world.get(answer.json["payment"]["url"])
    assert "bank&#39;s app" in page.text or (await world.settled(answer)).status == "success"
    assert (await world.settled(answer)).status == "success"
    left = await world.get(answer.json["payment"]["url"])
    assert "is_approved=1" in left.headers["Location"]


class DeadDirectory:
    """A way to a simulator whose Directory never answers."""

    def __init__(self, way: Transport) -> None:
        self._way = way
        self.is_dead = True

    async def post(
        self, path: str, body: bytes, *, timeout_seconds: float, send_before: float, is_repeatable: bool = False
    ) -> bytes:
        """Lose what goes to the Directory."""
        if self.is_dead and path.startswith("/directory"):
            raise NoResponse
        return await self._way.post(
            path, body, timeout_seconds=timeout_seconds, send_before=send_before, is_repeatable=is_repeatable
        )


@pytest.fixture
async def world_without_directory(database: Database, simulator_database: Database) -> AsyncIterator[World]:
    """A gateway that reaches the issuer and no Directory."""
    async with open_world(database, simulator_database, wrap=DeadDirectory) as world:
        yield world


async def test_an_unreachable_directory_is_status_u(world_without_directory: World) -> None:
    """Whatever the network does to the AReq, the payment goes on as the site's policy for U has it."""
    world = world_without_directory
    answer = await world.pay("visa", browser=True)
    assert answer.json["payment"]["status"] == "success"
    authentication = await world.authentication(answer)
    assert (authentication.trans_status, authentication.cavv) == ("U", None)


async def test_equal_payments_at_once_ask_one_cardholder(world: World) -> None:
    """A double click while the cardholder is at the bank makes no second challenge, and gets the way to the first."""
    body = payment_request("challenge", browser=True)
    first, again = [await world.call("/payment", body) for _ in range(2)]
    assert first.json == again.json
    assert again.json["payment"]["action"] == "redirect"
    assert len(await world.fetch("select from authentication")) == 1
