"""The HTTP edge on a real server: messages, broken-off answers, and the pages of the bank."""

from __future__ import annotations

import html
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from tests.support.issuing import areq, creq_of, encode, number_of, order, pack
from tests.support.simulator import SECRET
from tests.support.threeds_server import ThreedsServer, decode

from tollhouse.acquirers.model import (
    AccountQuery,
    Approved,
    Closed,
    Declined,
    DisputeQuery,
    ReferenceUnknown,
    Reversed,
    Unknown,
)
from tollhouse.acquirers.simulated import SimulatedAcquirer
from tollhouse.simulator.app import BankPages, create_simulator_app
from tollhouse.simulator.host import Simulator
from tollhouse.storage.database import Database
from tollhouse.transport.http import HttpTransport

HOSTILE = '"><script>alert(1)</script>'


@pytest.fixture
async def browser(edge: str) -> AsyncIterator[aiohttp.ClientSession]:
    """A browser without scripts."""
    async with aiohttp.ClientSession(edge) as session:
        yield session


@pytest.fixture
async def machine(edge: str) -> AsyncIterator[aiohttp.ClientSession]:
    """A client that knows the simulator's secret, as the gateway does."""
    async with aiohttp.ClientSession(edge, headers={"Authorization": f"Bearer {SECRET}"}) as session:
        yield session


@pytest.fixture
async def far_acquirer(edge: str) -> AsyncIterator[SimulatedAcquirer]:
    """The connector over HTTP."""
    way = HttpTransport(f"{edge}/simulator", authorization=f"Bearer {SECRET}")
    yield SimulatedAcquirer(way, timeout_seconds=1)
    await way.close()


async def challenge(
    browser: aiohttp.ClientSession, server: ThreedsServer, amount_minor: int = 1999, **changes: Any
) -> dict[str, Any]:
    """Start a challenge over HTTP and return the ARes."""
    message = areq("challenge", amount_minor, **(server.addresses | changes))
    async with browser.post(
        "/simulator/directory", data=encode(message), headers={"Authorization": f"Bearer {SECRET}"}
    ) as response:
        ares: dict[str, Any] = await response.json()
        return ares


async def submit(browser: aiohttp.ClientSession, path: str, form: dict[str, str]) -> tuple[int, str]:
    """Post a form and return the status and the page."""
    async with browser.post(path, data=form) as response:
        return response.status, await response.text()


async def open_page(browser: aiohttp.ClientSession, ares: dict[str, Any], session_data: str = "") -> str:
    """Post the CReq as our checkout page does, and return the bank's page."""
    form = {"creq": pack(creq_of(ares))} | ({"threeDSSessionData": session_data} if session_data else {})
    status, page = await submit(browser, "/simulator/acs/challenge", form)
    assert status == 200
    return page


def fields_of(page: str) -> dict[str, str]:
    """Return the hidden fields of a page's form."""
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page)
    return {name: html.unescape(value) for name, value in found}


def action_of(page: str) -> str:
    """Return where a page's form goes."""
    match = re.search(r'<form method="post" action="([^"]*)"', page)
    assert match
    return html.unescape(match[1])


async def test_the_connector_over_http(far_acquirer: SimulatedAcquirer) -> None:
    """Over HTTP the connector gets what it gets in process."""
    sale = order()
    approved = await far_acquirer.authorize(sale)

    assert isinstance(approved, Approved)
    assert await far_acquirer.authorize(order("decline_51")) == Declined("51")
    assert await far_acquirer.inquire(sale.reference, sale.money) == approved
    assert await far_acquirer.reverse(sale.reference, sale.money) == Reversed()
    assert await far_acquirer.inquire(sale.reference, sale.money) == Reversed()


async def test_a_lost_answer_breaks_off(far_acquirer: SimulatedAcquirer) -> None:
    """A lost answer reaches an HTTP client as a connection that breaks off, and the approval is found later."""
    lost, dropped = order("lost_answer"), order("never_arrives")

    assert isinstance(await far_acquirer.authorize(lost), Unknown)
    assert isinstance(await far_acquirer.authorize(dropped), Unknown)
    assert isinstance(await far_acquirer.inquire(lost.reference, lost.money), Approved)
    assert await far_acquirer.inquire(dropped.reference, dropped.money) == ReferenceUnknown()


async def test_a_broken_off_answer_is_no_answer_of_a_server(machine: aiohttp.ClientSession) -> None:
    """A client without a response sees a connection that ends too early, not a status."""
    sale = {
        "reference": "broken-off",
        "amount": {"minor": 1, "currency": "USD"},
        "card": {"number": number_of("lost_answer"), "expiryMonth": 1, "expiryYear": 2030},
        "capture": True,
        "initiator": "customer",
    }
    async with machine.post("/simulator/acquirer/authorize", data=encode(sale)) as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


async def test_a_silent_answer_holds_the_line(far_acquirer: SimulatedAcquirer) -> None:
    """The silent card keeps the connection open until the client gives up."""
    sale = order("silent")

    assert await far_acquirer.authorize(sale) == Unknown("TimeoutError")
    assert isinstance(await far_acquirer.inquire(sale.reference, sale.money), Approved)


async def test_refusals_have_their_status(machine: aiohttp.ClientSession) -> None:
    """A faulty body is 400 with its fields, an unknown path or challenge 404, a large body 413."""
    async with machine.post("/simulator/acquirer/authorize", data=b"{}") as response:
        assert response.status == 400
        assert (await response.json())["errors"]
    async with machine.post("/simulator/control/challenges/x", data=b'{"result":"pass"}') as response:
        assert response.status == 404
    async with machine.post("/simulator/acquirer/settle", data=b"{}") as response:
        assert response.status == 404
    async with machine.post("/simulator/directory", data=b" " * 70_000) as response:
        assert response.status == 413


async def test_the_journal_over_http(machine: aiohttp.ClientSession, far_acquirer: SimulatedAcquirer) -> None:
    """The journal is there by GET and by POST."""
    sale = order()
    await far_acquirer.authorize(sale)
    async with machine.get("/simulator/control/journal", params={"limit": 5}) as response:
        by_get = await response.json()
    async with machine.post("/simulator/control/journal", data=b"") as response:
        by_post = await response.json()

    assert by_get == by_post
    assert by_get["entries"][0]["reference"] == sale.reference


async def test_the_page_says_what_is_paid(browser: aiohttp.ClientSession, threeds_server: ThreedsServer) -> None:
    """The challenge page shows merchant, amount with currency and the card's ending, and never the whole number."""
    ares = await challenge(
        browser, threeds_server, amount_minor=101990, purchaseCurrency="978", merchantName="Ä & Söhne"
    )
    page = html.unescape(await open_page(browser, ares))

    assert "Ä & Söhne" in page
    assert "1,019.90 <span>EUR</span>" in page
    assert number_of("challenge")[-4:] in page
    assert number_of("challenge") not in page
    assert "3 attempts left" in page
    assert threeds_server.results == []


async def test_the_page_fetches_nothing(browser: aiohttp.ClientSession, threeds_server: ThreedsServer) -> None:
    """No page may load anything: its policy allows its own style and form alone, and it is not stored."""
    ares = await challenge(browser, threeds_server)
    async with browser.post("/simulator/acs/challenge", data={"creq": pack(creq_of(ares))}) as response:
        policy, page = response.headers["Content-Security-Policy"], await response.text()
        assert response.headers["Cache-Control"] == "no-store"

    assert policy.startswith("default-src 'none';")
    assert "form-action 'self'" in policy
    assert not re.findall(r"""(?:src|href)=|url\(|@import""", page)


async def test_the_right_code_goes_back(browser: aiohttp.ClientSession, threeds_server: ThreedsServer) -> None:
    """The right code reports first, and then gives the browser a form with CRes and session data for the way back."""
    ares = await challenge(browser, threeds_server)
    page = await open_page(browser, ares, session_data="c2Vzc2lvbg")
    form = fields_of(page) | {"code": " 123456 ", "act": "submit"}
    _, back = await submit(browser, action_of(page), form)

    assert [rreq["transStatus"] for rreq in threeds_server.results] == ["Y"]
    assert action_of(back) == threeds_server.addresses["notificationURL"]
    fields = fields_of(back)
    assert fields["threeDSSessionData"] == "c2Vzc2lvbg"
    assert decode(fields["cres"]) == {
        "messageType": "CRes",
        "messageVersion": "2.2.0",
        "threeDSServerTransID": ares["threeDSServerTransID"],
        "acsTransID": ares["acsTransID"],
        "challengeCompletionInd": "Y",
        "transStatus": "Y",
    }
    assert "Identity confirmed" in back


async def test_three_wrong_codes_over_the_page(browser: aiohttp.ClientSession, threeds_server: ThreedsServer) -> None:
    """Each wrong code says how many tries are left; the third goes back with N."""
    page = await open_page(browser, await challenge(browser, threeds_server))
    for left in ("2 attempts left", "1 attempt left"):
        _, page = await submit(browser, "/simulator/acs/challenge/answer", fields_of(page) | {"code": "000000"})
        assert 'role="alert"' in page
        assert left in page
    _, page = await submit(browser, "/simulator/acs/challenge/answer", fields_of(page) | {"code": "000000"})

    assert decode(fields_of(page)["cres"])["transStatus"] == "N"
    assert [rreq["transStatus"] for rreq in threeds_server.results] == ["N"]


async def test_an_empty_code_costs_nothing(browser: aiohttp.ClientSession, threeds_server: ThreedsServer) -> None:
    """Submitting without a code is answered with the same page and all tries."""
    page = await open_page(browser, await challenge(browser, threeds_server))
    _, page = await submit(browser, "/simulator/acs/challenge/answer", fields_of(page) | {"code": " ", "act": "submit"})

    assert "Enter the code first." in page
    assert "3 attempts left" in page


@pytest.mark.parametrize(("act", "cancel"), [("cancel", "01"), ("timeout", "04")])
async def test_the_other_buttons(
    browser: aiohttp.ClientSession, threeds_server: ThreedsServer, act: str, cancel: str
) -> None:
    """Cancel and Time out end the challenge in N, whatever stands in the field."""
    page = await open_page(browser, await challenge(browser, threeds_server))
    _, page = await submit(browser, "/simulator/acs/challenge/answer", fields_of(page) | {"code": "123456", "act": act})

    assert decode(fields_of(page)["cres"])["transStatus"] == "N"
    assert threeds_server.results[0]["challengeCancel"] == cancel


async def test_coming_again_is_harmless(browser: aiohttp.ClientSession, threeds_server: ThreedsServer) -> None:
    """Refresh, back button, second tab and double submit show the state the challenge is in, and report once."""
    ares = await challenge(browser, threeds_server)
    tabs = [await open_page(browser, ares) for _ in range(2)]
    passing = fields_of(tabs[0]) | {"code": "123456", "act": "submit"}
    _, first = await submit(browser, "/simulator/acs/challenge/answer", passing)
    _, again = await submit(browser, "/simulator/acs/challenge/answer", passing)
    _, second_tab = await submit(browser, "/simulator/acs/challenge/answer", fields_of(tabs[1]) | {"act": "cancel"})
    reopened = await open_page(browser, ares)

    assert {fields_of(page)["cres"] for page in (first, again, second_tab, reopened)} == {fields_of(first)["cres"]}
    assert len(threeds_server.results) == 1


async def test_unknown_challenge_shows_a_page(browser: aiohttp.ClientSession) -> None:
    """A browser without a known challenge gets a page that says so, by any method."""
    for path, form in (
        ("/simulator/acs/challenge", {}),
        ("/simulator/acs/challenge", {"creq": "AAAA"}),
        ("/simulator/acs/challenge/answer", {"acsTransID": "x"}),
        ("/simulator/acs/challenge/answer", {"acsTransID": "11111111-2222-4333-8444-555555555555", "attempt": "x"}),
        ("/simulator/acs/challenge/answer", {"acsTransID": "11111111-2222-4333-8444-555555555555", "code": "123456"}),
        ("/simulator/acs/method", {"threeDSMethodData": "AAAA"}),
    ):
        status, page = await submit(browser, path, form)
        assert (status, "Payment not found" in page) == (400, True), path
    for path in ("/simulator/acs/challenge", "/simulator/acs/challenge/answer"):
        async with browser.get(path) as response:
            assert response.status == 400


async def test_pages_escape_what_they_show(browser: aiohttp.ClientSession, threeds_server: ThreedsServer) -> None:
    """A hostile merchant name or session data stays text."""
    ares = await challenge(browser, threeds_server, merchantName=HOSTILE)
    page = await open_page(browser, ares, session_data=HOSTILE)
    _, back = await submit(browser, "/simulator/acs/challenge/answer", fields_of(page) | {"code": "123456"})

    assert HOSTILE not in page + back
    assert fields_of(back)["threeDSSessionData"] == HOSTILE


async def test_the_method_posts_back(browser: aiohttp.ClientSession) -> None:
    """The 3DS Method page posts the transaction id to the notification URL it was given."""
    data = {
        "threeDSServerTransID": "11111111-2222-4333-8444-555555555555",
        "threeDSMethodNotificationURL": "https://gateway.example/method?x=1&y=2",
    }
    status, page = await submit(browser, "/simulator/acs/method", {"threeDSMethodData": pack(data)})

    assert status == 200
    assert action_of(page) == data["threeDSMethodNotificationURL"]
    answer = decode(fields_of(page)["threeDSMethodData"])
    assert answer == {"threeDSServerTransID": data["threeDSServerTransID"]}


async def test_the_silent_method(browser: aiohttp.ClientSession) -> None:
    """The silent 3DS Method has nothing that posts."""
    status, page = await submit(browser, "/simulator/acs/method/silent", {"threeDSMethodData": "AAAA"})

    assert (status, "<form" in page) == (200, False)


async def test_an_answer_over_http_is_json(
    browser: aiohttp.ClientSession, machine: aiohttp.ClientSession, threeds_server: ThreedsServer
) -> None:
    """The control API ends a challenge over HTTP as it does in process."""
    ares = await challenge(browser, threeds_server)
    path = f"/simulator/control/challenges/{ares['acsTransID']}"
    async with machine.post(path, data=json.dumps({"result": "pass"})) as response:
        assert response.status == 200
        assert response.content_type == "application/json"
        assert (await response.json())["transStatus"] == "Y"


#: What a stranger may open: the pages of the bank, and whether the process lives.
OPEN_PATHS = ("/simulator/acs/", "/healthz", "/readyz")


@pytest.mark.slow
async def test_only_the_gateway_is_answered(simulator: Simulator, edge: str) -> None:
    """Without the secret every route but the bank's pages and health returns 401 and no data."""
    app = create_simulator_app(simulator, secret=SECRET)
    guarded = [(route.path, route.method) for route in app.routes if not route.path.startswith(OPEN_PATHS)]
    assert {path for path, _ in guarded} >= {f"/simulator{path}" for path in simulator.paths}
    wrong = ("", SECRET, f"Bearer {SECRET}x", f"Bearer {SECRET[:-1]}", "Bearer ", f"Basic {SECRET}", "Bearer é")
    async with aiohttp.ClientSession(edge) as session:
        for path, method in guarded:
            for shown in wrong:
                filled = path.replace("{acsTransId}", str(UUID(int=1)))
                headers = {"Authorization": shown} if shown else {}
                async with session.request(method, filled, data=b"{}", headers=headers) as response:
                    assert (path, response.status) == (path, 401)
                    assert (await response.json())["errors"] == {}


async def test_a_simulator_in_the_gateways_process_has_pages_only(simulator: Simulator) -> None:
    """The pages of the bank are routes of their own: messages and control are not among them."""
    paths = {route.path for route in BankPages(simulator, path="/simulator").routes()}
    assert paths
    assert all(path.startswith(OPEN_PATHS) for path in paths)


async def test_results_are_sent_as_the_directorys(simulator_database: Database, threeds_server: ThreedsServer) -> None:
    """The result of a challenge bears the secret by which the 3DS Server knows the Directory."""
    simulator = Simulator(simulator_database, base_url="http://localhost/simulator", directory_secret="known")
    ares = json.loads(
        as_bytes(await simulator.handle("/directory", encode(areq("challenge", **threeds_server.addresses))))
    )
    await simulator.access_control.act(UUID(ares["acsTransID"]), "pass")
    await simulator.close()
    assert threeds_server.authorizations == ["Bearer known"]


def as_bytes(answer: Any) -> bytes:
    """Return an answer that is one."""
    assert isinstance(answer, bytes)
    return answer


async def test_simulator_reports_its_health(browser: aiohttp.ClientSession, simulator_database: Database) -> None:
    """The simulator reports its own health and that of its database."""
    for path, status in (("/healthz", "ok"), ("/readyz", "ready")):
        async with browser.get(path) as response:
            assert (response.status, await response.json()) == (200, {"status": status})
    await simulator_database.close()
    async with browser.get("/readyz") as response:
        assert response.status == 503
    async with browser.get("/healthz") as response:
        assert response.status == 200


async def test_disputes_and_updates_over_http(far_acquirer: SimulatedAcquirer) -> None:
    """A far simulator answers about disputes and stored cards as a near one does."""
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    sale = order("charged_back", transacted_at=at, acceptor="1")
    await far_acquirer.authorize(sale)
    page = await far_acquirer.list_disputes(DisputeQuery(at + timedelta(days=3)))
    assert isinstance(page, tuple)
    assert [dispute.reference for dispute in page] == [sale.reference]
    assert await far_acquirer.acknowledge_disputes([page[0].dispute_id])
    assert await far_acquirer.update_account(AccountQuery("q-1", order("closed").card)) == Closed()


@pytest.mark.parametrize("content", [b'{"a": "\xff"}', b"[" * 60_000, b'{"a":' * 5_000, b'"\\ud83d"', b"{"])
async def test_messages_that_cannot_be_read_are_refused(
    simulator: Simulator, machine: aiohttp.ClientSession, content: bytes
) -> None:
    """Bad UTF-8 and endless brackets are no defect of the simulator, at whatever path."""
    for path in simulator.paths:
        async with machine.post(f"/simulator{path}", data=content) as answer:
            assert answer.status < 500, await answer.text()


async def test_pages_of_the_bank_are_not_framed(browser: aiohttp.ClientSession) -> None:
    """A page that asks for a code is framed by nobody; that of the 3DS Method only by the one who asked for it."""
    async with browser.get("/simulator/acs/challenge") as page:
        assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    data = pack(
        {
            "threeDSServerTransID": "3f4b6f3e-54c4-4f2a-9d6f-0f4c5a1c2b3d",
            "threeDSMethodNotificationURL": "https://gateway.example/3ds/method/x",
        }
    )
    async with browser.post("/simulator/acs/method", data={"threeDSMethodData": data}) as page:
        assert "frame-ancestors https://gateway.example" in page.headers["Content-Security-Policy"]
