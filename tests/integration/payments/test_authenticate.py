"""The start of an authentication: each response of the Directory Server, and what is committed before it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.support.cardholders import ServedGateway, open_served_gateway, payment_request

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
async def test_a_frictionless_payment_ends_in_the_request(
    served: ServedGateway, card: str, status: str, code: str
) -> None:
    """With complete browser data a frictionless authentication ends in the same response."""
    answer = await served.pay(card, browser=True)
    assert answer.status == 201
    payment = answer.json["payment"]
    assert (payment["status"], payment["code"], payment["action"]) == (status, code, "charge")


async def test_the_proof_reaches_the_issuer_and_is_kept(served: ServedGateway) -> None:
    """The proof is sent with the authorization and stored as evidence."""
    answer = await served.pay("frictionless", browser=True)
    authentication = await served.authentication(answer)
    assert (authentication.state, authentication.trans_status, authentication.eci) == ("passed", "Y", "05")
    [row] = await served.fetch("select cavv from simulator.journal")
    assert row["cavv"] == authentication.cavv is not None
    assert authentication.due_at is None


async def test_status_u_fails_if_the_site_requires_authentication(served: ServedGateway) -> None:
    """Status U ends as 1010 at a site that requires authentication."""
    await served.fetch("update site set proceed_without_3ds = false")
    answer = await served.pay("unavailable", browser=True)
    assert (answer.json["payment"]["status"], answer.json["payment"]["code"]) == ("fail", "1010")
    assert await served.fetch("select from simulator.journal") == []


async def test_without_browser_data_the_page_comes_before_the_directory(served: ServedGateway) -> None:
    """Without browser data the response is a redirect to our page, and no AReq was sent."""
    answer = await served.pay("challenge")
    payment = answer.json["payment"]
    assert (payment["status"], payment["action"], payment["code"]) == ("pending", "redirect", "0")
    assert payment["url"].startswith(f"{served.base_url}/3ds/")
    assert (await served.authentication(answer)).state == "collecting"
    assert (await served.payment(answer)).attempt.state == "challenged"
    assert await served.fetch("select from simulator.authentication") == []
    assert await served.fetch("select from attempt where resolve_at is not null") == []


async def test_a_method_of_the_range_comes_before_the_directory(served: ServedGateway) -> None:
    """A 3DS Method needs a browser, so complete browser data in the request do not replace our page."""
    answer = await served.pay("frictionless_method", browser=True)
    assert answer.json["payment"]["action"] == "redirect"
    assert (await served.authentication(answer)).method_url is not None


@pytest.mark.parametrize("missing", ["userAgent", "browserTimezone", "browserColorDepth", "browserAcceptHeader"])
async def test_incomplete_browser_data_are_collected_again(served: ServedGateway, missing: str) -> None:
    """If one field is missing, our page collects all of them."""
    body = payment_request("frictionless", browser=True)
    body["consumer"][missing] = ""
    answer = await served.call("/payment", body)
    assert answer.json["payment"]["action"] == "redirect"


async def test_a_challenge_is_committed_before_it_is_answered(served: ServedGateway) -> None:
    """Redirect, waiting attempt, authentication and sealed code are committed together."""
    body = payment_request("challenge", browser=True)
    first, again = [await served.call("/payment", body, **{"X-Request-ID": "one"}) for _ in range(2)]
    assert first.json["payment"]["action"] == "redirect"
    assert first.text == again.text
    assert again.headers["Idempotent-Replay"] == "true"
    authentication = await served.authentication(first)
    assert (authentication.state, authentication.trans_status) == ("challenged", "C")
    assert authentication.acs_url is not None
    [code] = await served.fetch("select holder_id, expires_at from security_code")
    assert code["holder_id"] == authentication.series_id
    assert await served.fetch("select from event") == []


async def test_a_soft_decline_redirects_to_the_page(served: ServedGateway) -> None:
    """A soft decline is followed by another attempt of the same transaction, with a proof."""
    answer = await served.pay("challenge", three_ds=False)
    assert answer.json["payment"]["action"] == "redirect"
    assert (await served.authentication(answer)).challenge_indicator == "04"
    page = await served.challenge(answer)
    await served.come_back(page)
    payment = await served.settled(answer)
    assert (payment.status, payment.attempt.number) == ("success", 2)
    states = await served.fetch("select number, state, sealed_card is null as opened from attempt order by number")
    assert [tuple(row) for row in states] == [(1, "declined", True), (2, "approved", True)]
    assert await served.fetch("select from security_code") == []


@pytest.mark.parametrize("card", ["frictionless", "frictionless_mastercard", "unavailable"])
async def test_a_frictionless_second_attempt_ends_in_the_request(served: ServedGateway, card: str) -> None:
    """With complete browser data the attempt after a soft decline ends in the same response."""
    answer = await served.pay(card, three_ds=False, browser=True)
    assert answer.json["payment"]["status"] == "success"
    attempts = await served.fetch("select state from attempt order by number")
    assert [row["state"] for row in attempts] == ["declined", "approved"]


async def test_a_soft_decline_before_a_challenge_at_once(served: ServedGateway) -> None:
    """The declined attempt, the waiting one and the redirect are three writes and one response."""
    answer = await served.pay("challenge", three_ds=False, browser=True)
    assert (await served.authentication(answer)).state == "challenged"
    attempts = await served.fetch("select state from attempt order by number")
    assert [row["state"] for row in attempts] == ["declined", "challenged"]
    await served.answer_bank(answer, "pass")
    assert (await served.settled(answer)).status == "success"


async def test_a_verification_can_be_challenged(served: ServedGateway) -> None:
    """A zero amount is authenticated as a non-payment and approved with its proof."""
    body = payment_request("challenge", browser=True)
    body["sku"]["price"] = [{"offset": "0d", "amount": 0, "currency": "USD", "repeat": False}]
    answer = await served.call("/payment", body)
    [row] = await served.fetch("select message_category from simulator.authentication")
    assert row["message_category"] == "02"
    await served.answer_bank(answer, "pass")
    assert (await served.settled(answer)).status == "success"


async def test_a_decoupled_challenge_waits_for_the_rreq(served: ServedGateway) -> None:
    """Status D shows the cardholder a page that waits; the RReq decides as always."""
    answer = await served.pay("decoupled", browser=True)
    assert answer.json["payment"]["action"] == "redirect"
    page = await served.get(answer.json["payment"]["url"])
    assert "bank&#39;s app" in page.text or (await served.settled(answer)).status == "success"
    assert (await served.settled(answer)).status == "success"
    left = await served.get(answer.json["payment"]["url"])
    assert "is_approved=1" in left.headers["Location"]


class DeadDirectory:
    """A transport to a simulator whose Directory Server never responds."""

    def __init__(self, way: Transport) -> None:
        self._way = way
        self.is_dead = True

    async def post(
        self, path: str, body: bytes, *, timeout_seconds: float, send_before: float, is_repeatable: bool = False
    ) -> bytes:
        """Drop messages to the Directory Server."""
        if self.is_dead and path.startswith("/directory"):
            raise NoResponse
        return await self._way.post(
            path, body, timeout_seconds=timeout_seconds, send_before=send_before, is_repeatable=is_repeatable
        )


@pytest.fixture
async def gateway_without_directory(database: Database, simulator_database: Database) -> AsyncIterator[ServedGateway]:
    """A gateway that reaches the issuer but no Directory Server."""
    async with open_served_gateway(database, simulator_database, wrap=DeadDirectory) as served:
        yield served


async def test_an_unreachable_directory_is_status_u(gateway_without_directory: ServedGateway) -> None:
    """If the AReq has no response, the payment continues as the site decides for status U."""
    served = gateway_without_directory
    answer = await served.pay("visa", browser=True)
    assert answer.json["payment"]["status"] == "success"
    authentication = await served.authentication(answer)
    assert (authentication.trans_status, authentication.cavv) == ("U", None)


async def test_a_double_click_gets_the_same_challenge(served: ServedGateway) -> None:
    """A double click during a challenge starts no second one and gets the same redirect."""
    body = payment_request("challenge", browser=True)
    first, again = [await served.call("/payment", body) for _ in range(2)]
    assert first.json == again.json
    assert again.json["payment"]["action"] == "redirect"
    assert len(await served.fetch("select from authentication")) == 1
