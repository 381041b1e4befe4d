"""The talk with the Directory: the simulator's own, and ones that misbehave."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from math import inf
from typing import Any
from uuid import uuid4

import pytest
from tests.support.issuing import number_of

from tollhouse.kernel.card import Card, CardNumber, Expiry
from tollhouse.kernel.money import Currency, Money
from tollhouse.simulator.host import InProcessTransport, Simulator
from tollhouse.storage.database import Database
from tollhouse.threeds.directory import DirectoryClient
from tollhouse.threeds.model import AuthenticationRequest, BrowserData
from tollhouse.transport.model import NoResponse, RequestNotSent

BROWSER = BrowserData("text/html", "Mozilla/5.0", "en", "203.0.113.45", True, False, 24, 1080, 1920, -330)  # noqa: FBT003


def question(card: str, **changes: Any) -> AuthenticationRequest:
    """Ask about a published card."""
    asked = AuthenticationRequest(
        three_ds_server_trans_id=uuid4(),
        version="2.2.0",
        card=Card(CardNumber(number_of(card)), Expiry(12, 2029)),
        money=Money(1999, Currency.of("USD")),
        merchant_name="Demo Shop",
        browser=BROWSER,
        asked_at=datetime.now(UTC),
        website="http://127.0.0.1:9",
        notification_url="http://127.0.0.1:9/return",
        results_url="http://127.0.0.1:9/results",
        method_completed=None,
        challenge_indicator="01",
        decoupled_minutes=15,
        send_before=inf,
    )
    return replace(asked, **changes)


class Scripted:
    """A Directory that answers as it is told, and counts."""

    def __init__(self, *answers: bytes | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def post(
        self, path: str, body: bytes, *, timeout_seconds: float, send_before: float, is_repeatable: bool = False
    ) -> bytes:
        """Give the next answer; the last one again and again."""
        del timeout_seconds, send_before, is_repeatable
        self.asked.append(path)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        trans_id: str = json.loads(body)["threeDSServerTransID"]
        return answer.replace(b"SAME", trans_id.encode())


def ranges(*rows: dict[str, str]) -> bytes:
    """Write a PRes."""
    message = {"messageType": "PRes", "messageVersion": "2.2.0", "threeDSServerTransID": "SAME", "cardRangeData": rows}
    return json.dumps(message).encode()


VISA = {
    "startRange": "4000000000000000",
    "endRange": "4999999999999999",
    "acsStartProtocolVersion": "2.1.0",
    "acsEndProtocolVersion": "2.1.0",
    "threeDSMethodURL": "https://acs.example/method",
}


@pytest.fixture
async def directory(simulator_database: Database) -> AsyncIterator[DirectoryClient]:
    """The simulator's Directory."""
    simulator = Simulator(simulator_database, base_url="http://localhost:9/simulator", decoupled_seconds=60)
    yield DirectoryClient(InProcessTransport(simulator))
    await simulator.close()


@pytest.mark.parametrize(
    ("card", "status"),
    [
        ("frictionless", "Y"),
        ("attempted", "A"),
        ("denied", "N"),
        ("unavailable", "U"),
        ("rejected", "R"),
        ("informational", "I"),
        ("challenge", "C"),
        ("decoupled", "D"),
    ],
)
async def test_every_status(directory: DirectoryClient, card: str, status: str) -> None:
    """The simulated Directory understands our AReq, and we its ARes."""
    answer = await directory.authenticate(question(card))
    assert answer.status == status
    assert answer.ds_trans_id is not None


async def test_an_old_version(directory: DirectoryClient) -> None:
    """2.1.0 is spoken too; it has no decoupled authentication, so the ACS denies."""
    assert (await directory.authenticate(question("challenge", version="2.1.0"))).status == "C"
    assert (await directory.authenticate(question("decoupled", version="2.1.0"))).status == "N"


async def test_the_method_of_a_card(directory: DirectoryClient) -> None:
    """Ranges tell which cards have a 3DS Method."""
    with_method = await directory.find_range(CardNumber(number_of("challenge_method")))
    without = await directory.find_range(CardNumber(number_of("challenge")))
    assert with_method.method_url == "http://localhost:9/simulator/acs/method"
    assert (without.method_url, without.version) == (None, "2.2.0")


@pytest.mark.parametrize(
    "trouble", [RequestNotSent(), NoResponse(), b"", b"{}", b"<html>", b'{"messageType":"Erro","errorCode":"404"}']
)
async def test_whatever_goes_wrong_is_unavailable(trouble: bytes | Exception) -> None:
    """No trouble of Directory or network leaves as an exception."""
    answer = await DirectoryClient(Scripted(trouble)).authenticate(question("visa"))
    assert (answer.status, answer.reason, answer.ds_trans_id) == ("U", "22", None)


async def test_a_currency_without_a_number_is_unavailable() -> None:
    """No AReq is sent for a currency without a numeric code."""
    way = Scripted(b"")
    money = Money(1999, Currency("ZZZ", 2))
    assert (await DirectoryClient(way).authenticate(question("visa", money=money))).status == "U"
    assert way.asked == []


async def test_ranges_are_asked_for_once() -> None:
    """Loaded card ranges are kept for a while, and both ends of each are included."""
    way = Scripted(ranges(VISA))
    directory = DirectoryClient(way)
    for number in ("4000000000000000", "4024007179366348", "4999999999999999"):
        found = await directory.find_range(CardNumber(number))
        assert (found.version, found.method_url) == ("2.1.0", "https://acs.example/method")
    for number in ("3999999999999999", "5000000000000000"):
        found = await directory.find_range(CardNumber(number))
        assert (found.version, found.method_url) == ("2.2.0", None)
    assert way.asked == ["/directory/ranges"]


@pytest.mark.parametrize("trouble", [RequestNotSent(), NoResponse(), b"{}"])
async def test_without_ranges_there_is_no_method(trouble: bytes | Exception) -> None:
    """A Directory that does not tell its ranges costs no payment, and is not asked again by the next one."""
    way = Scripted(trouble)
    directory = DirectoryClient(way)
    for _ in range(3):
        assert (await directory.find_range(CardNumber("4024007179366348"))).method_url is None
    assert way.asked == ["/directory/ranges"]
