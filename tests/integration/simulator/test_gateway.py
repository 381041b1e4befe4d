"""The gateway's own 3DS Server against the simulated Directory: two implementations of one protocol, written apart."""

from __future__ import annotations

from datetime import UTC, datetime
from math import inf
from uuid import UUID, uuid4

import pytest
from aiohttp import web
from tests.support.issuing import number_of

from tollhouse.kernel.card import Card, CardNumber, Expiry
from tollhouse.kernel.money import Currency, Money
from tollhouse.simulator.host import InProcessTransport, Simulator
from tollhouse.simulator.threeds.emv_messages import build_cres
from tollhouse.threeds.directory import DirectoryClient
from tollhouse.threeds.messages import build_creq, build_rres, parse_cres, parse_rreq
from tollhouse.threeds.model import AuthenticationRequest, BrowserData, ChallengeResult, TransStatus

BROWSER = BrowserData(
    accept_header="text/html",
    user_agent="Mozilla/5.0",
    language="en-US",
    ip="203.0.113.45",
    javascript_enabled=True,
    java_enabled=False,
    color_depth=24,
    screen_height=1080,
    screen_width=1920,
    timezone_minutes=-60,
)


def ask(name: str, *, version: str = "2.2.0", results_url: str = "http://127.0.0.1:9/results") -> AuthenticationRequest:
    """Build the question about a published card."""
    return AuthenticationRequest(
        three_ds_server_trans_id=uuid4(),
        version=version,
        card=Card(CardNumber(number_of(name)), Expiry(12, 2025), holder="Jane Smith"),
        money=Money(1999, Currency.of("USD")),
        merchant_name="Demo Shop",
        browser=BROWSER,
        asked_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        website="https://demo.example",
        notification_url="http://127.0.0.1:9/return",
        results_url=results_url,
        method_completed=None,
        challenge_indicator="01",
        decoupled_minutes=10,
        send_before=inf,
    )


@pytest.fixture
def directory(simulator: Simulator) -> DirectoryClient:
    """The gateway's way to the Directory."""
    return DirectoryClient(InProcessTransport(simulator))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("frictionless", "Y"),
        ("attempted_mastercard", "A"),
        ("denied", "N"),
        ("unavailable", "U"),
        ("rejected", "R"),
        ("challenge", "C"),
        ("decoupled", "D"),
        ("informational", "I"),
        ("visa", "Y"),
    ],
)
@pytest.mark.parametrize("version", ["2.1.0", "2.2.0"])
async def test_the_gateway_understands_every_status(
    directory: DirectoryClient, name: str, expected: str, version: str
) -> None:
    """Each status arrives as it was meant, in both versions; 2.1 knows no decoupled authentication."""
    answer = await directory.authenticate(ask(name, version=version))

    assert answer.status == ("N" if (expected, version) == ("D", "2.1.0") else expected)
    assert (answer.cavv is not None) == (answer.status in {"Y", "A"})
    assert answer.reason != "22" or expected == "U"


async def test_the_gateway_finds_the_method(directory: DirectoryClient) -> None:
    """The gateway learns from our PRes which cards have a 3DS Method."""
    with_method = await directory.find_range(CardNumber(number_of("challenge_method")))
    without = await directory.find_range(CardNumber(number_of("challenge")))

    assert with_method.method_url == "http://localhost:8080/simulator/acs/method"
    assert without.method_url is None
    assert without.version == "2.2.0"


async def test_the_gateway_takes_our_result(simulator: Simulator, directory: DirectoryClient) -> None:
    """A challenge opened with the gateway's CReq ends in an RReq and a CRes that the gateway reads."""
    results: list[ChallengeResult] = []

    async def take(request: web.Request) -> web.Response:
        results.append(parse_rreq(await request.read()))
        return web.Response(body=build_rres(results[-1]), content_type="application/json")

    application = web.Application()
    application.router.add_post("/results", take)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    question = ask("challenge", results_url=f"http://127.0.0.1:{runner.addresses[0][1]}/results")
    answer = await directory.authenticate(question)
    creq = build_creq(
        version="2.2.0",
        three_ds_server_trans_id=question.three_ds_server_trans_id,
        acs_trans_id=answer.acs_trans_id or UUID(int=0),
    )
    opened = await simulator.access_control.open(creq)
    ended = await simulator.access_control.enter_code(opened.acs_trans_id, "123456", attempt=0)
    await runner.cleanup()

    assert [(result.status, result.eci) for result in results] == [(TransStatus.AUTHENTICATED, "05")]
    assert parse_cres(build_cres(ended))[2] is TransStatus.AUTHENTICATED
