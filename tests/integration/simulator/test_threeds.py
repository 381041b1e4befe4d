"""Directory and access control server, with a 3DS Server on the other side: RReq decides, once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.issuing import areq, challenge_of, creq_of, encode, order, pack, proof_of
from tests.support.threeds_server import ThreedsServer

from tollhouse.acquirers.model import Approved, Declined
from tollhouse.acquirers.simulated import SimulatedAcquirer
from tollhouse.kernel.errors import Invalid, NotFound
from tollhouse.simulator.host import Simulator
from tollhouse.storage.database import Database

UNKNOWN = "11111111-2222-4333-8444-555555555555"


async def send(simulator: Simulator, path: str, message: dict[str, Any]) -> dict[str, Any]:
    """Post a message and read the answer."""
    answer = await simulator.handle(path, encode(message))
    assert isinstance(answer, bytes)
    read: dict[str, Any] = json.loads(answer)
    return read


async def end(simulator: Simulator, ares: dict[str, Any], result: str) -> dict[str, Any]:
    """End a challenge headless."""
    return await send(simulator, f"/control/challenges/{ares['acsTransID']}", {"result": result})


@pytest.fixture
async def ares(simulator: Simulator, threeds_server: ThreedsServer) -> dict[str, Any]:
    """The ARes to a challenged card."""
    return await send(simulator, "/directory", areq("challenge", **threeds_server.addresses))


@pytest.fixture
async def hasty(simulator_database: Database) -> AsyncIterator[Simulator]:
    """A simulator whose challenges time out at once."""
    simulator = Simulator(simulator_database, base_url="http://localhost/bank/", challenge_life_seconds=0)
    yield simulator
    await simulator.close()


async def test_a_frictionless_ares_proves(simulator: Simulator) -> None:
    """Y comes with ECI and a CAVV of 28 characters, and names no page."""
    ares = await send(simulator, "/directory", areq("frictionless"))

    assert (ares["messageType"], ares["transStatus"], ares["eci"]) == ("ARes", "Y", "05")
    assert len(ares["authenticationValue"]) == 28
    assert "acsURL" not in ares
    assert "transStatusReason" not in ares


@pytest.mark.parametrize(("name", "status", "reason"), [("denied", "N", "01"), ("rejected", "R", "11")])
async def test_a_refusal_proves_nothing(simulator: Simulator, name: str, status: str, reason: str) -> None:
    """N and R have a reason, and neither ECI nor CAVV."""
    ares = await send(simulator, "/directory", areq(name))

    assert (ares["transStatus"], ares["transStatusReason"]) == (status, reason)
    assert not {"eci", "authenticationValue", "acsURL"} & set(ares)


async def test_a_challenge_names_its_page(ares: dict[str, Any]) -> None:
    """C has the page's address and mandates the challenge; status and proof come later."""
    assert (ares["transStatus"], ares["acsChallengeMandated"]) == ("C", "Y")
    assert ares["acsURL"] == "http://localhost:8080/simulator/acs/challenge"
    assert not {"eci", "authenticationValue", "transStatusReason"} & set(ares)


@pytest.mark.parametrize("name", ["frictionless", "challenge"])
async def test_a_repeated_areq_gets_the_same_ares(
    simulator: Simulator, threeds_server: ThreedsServer, name: str
) -> None:
    """A 3DS Server that lost the ARes gets it again, also after the challenge ended."""
    message = areq(name, **threeds_server.addresses)
    first = await send(simulator, "/directory", message)
    if name == "challenge":
        await end(simulator, first, "pass")

    assert await send(simulator, "/directory", message) == first


async def test_a_faulty_areq_gets_an_erro(simulator: Simulator) -> None:
    """The Directory answers an Erro, and does not fail."""
    erro = await send(simulator, "/directory", areq(purchaseCurrency="XXX"))

    assert (erro["messageType"], erro["errorCode"], erro["errorDetail"]) == ("Erro", "203", "purchaseCurrency")


async def test_preq_returns_card_ranges(simulator: Simulator) -> None:
    """The response to a PReq is a PRes, to a faulty one an Erro."""
    preq = {"messageType": "PReq", "messageVersion": "2.2.0", "threeDSServerTransID": UNKNOWN}

    assert (await send(simulator, "/directory/ranges", preq))["messageType"] == "PRes"
    assert (await send(simulator, "/directory/ranges", {}))["messageType"] == "Erro"


async def test_the_right_code(
    simulator: Simulator, acquirer: SimulatedAcquirer, threeds_server: ThreedsServer, ares: dict[str, Any]
) -> None:
    """The right code sends an RReq of Y whose proof the issuer takes."""
    status = await end(simulator, ares, "pass")
    (rreq,) = threeds_server.results

    assert status["transStatus"] == "Y"
    assert (rreq["messageType"], rreq["transStatus"], rreq["eci"]) == ("RReq", "Y", "05")
    assert (rreq["interactionCounter"], rreq["messageCategory"]) == ("01", "01")
    assert "challengeCancel" not in rreq
    for name in ("acsTransID", "dsTransID", "threeDSServerTransID"):
        assert rreq[name] == ares[name]
    assert isinstance(await acquirer.authorize(order("challenge", proof=proof_of(rreq))), Approved)


async def test_a_mastercard_challenge(simulator: Simulator, threeds_server: ThreedsServer) -> None:
    """Mastercard's full proof has ECI 02."""
    ares = await send(simulator, "/directory", areq("challenge_mastercard", **threeds_server.addresses))
    await end(simulator, ares, "pass")

    assert threeds_server.results[0]["eci"] == "02"


async def test_a_declining_challenge_card(
    simulator: Simulator, acquirer: SimulatedAcquirer, threeds_server: ThreedsServer
) -> None:
    """A challenge that passes does not make an issuer approve."""
    ares = await send(simulator, "/directory", areq("challenge_51", **threeds_server.addresses))
    await end(simulator, ares, "pass")

    assert await acquirer.authorize(order("challenge_51", proof=proof_of(threeds_server.results[0]))) == Declined("51")


@pytest.mark.parametrize(
    ("result", "expected"),
    [("fail", ("19", None, "03")), ("cancel", ("01", "01", "00")), ("timeout", ("14", "05", "00"))],
)
async def test_challenges_that_fail(
    simulator: Simulator,
    threeds_server: ThreedsServer,
    ares: dict[str, Any],
    result: str,
    expected: tuple[str, str | None, str],
) -> None:
    """Three wrong codes, Cancel and a time-out end in N, each told apart in the RReq."""
    status = await end(simulator, ares, result)
    (rreq,) = threeds_server.results

    assert (status["transStatus"], rreq["transStatus"]) == ("N", "N")
    assert (rreq["transStatusReason"], rreq.get("challengeCancel"), rreq["interactionCounter"]) == expected
    assert status["challengeCancel"] == expected[1]
    assert not {"eci", "authenticationValue"} & set(rreq)


async def test_a_time_out_after_the_page_was_opened(
    simulator: Simulator, threeds_server: ThreedsServer, ares: dict[str, Any]
) -> None:
    """EMVCo tells 04 from 05 by whether the first CReq came."""
    await simulator.access_control.open(pack(creq_of(ares)))
    await end(simulator, ares, "timeout")

    assert threeds_server.results[0]["challengeCancel"] == "04"


async def test_a_challenge_is_decided_once(
    simulator: Simulator, threeds_server: ThreedsServer, ares: dict[str, Any]
) -> None:
    """Requests after the decision change nothing and are not reported again."""
    for result in ("pass", "fail", "cancel", "timeout", "pass"):
        assert (await end(simulator, ares, result))["transStatus"] == "Y"

    assert len(threeds_server.results) == 1


async def test_a_challenge_is_decided_once_among_many(
    simulator: Simulator, threeds_server: ThreedsServer, ares: dict[str, Any]
) -> None:
    """Ends that race agree on one result, which every RReq carries."""
    results = ["pass", "cancel", "timeout", "fail"] * 4
    statuses = await asyncio.gather(*(end(simulator, ares, result) for result in results))

    assert len({json.dumps(status) for status in statuses}) == 1
    assert {rreq["transStatus"] for rreq in threeds_server.results} == {statuses[0]["transStatus"]}


async def test_a_code_typed_twice_counts_once(simulator: Simulator, ares: dict[str, Any]) -> None:
    """A double submit, or a page from the back button, costs one of the three tries."""
    control, challenge = simulator.access_control, challenge_of(ares)
    found = [await control.enter_code(challenge, "000000", attempt=0) for _ in range(4)]
    assert found[-1].wrong_codes == 1

    assert (await control.enter_code(challenge, "000000", attempt=1)).is_open
    assert (await control.enter_code(challenge, "000000", attempt=2)).final_status == "N"


async def test_a_wrong_code_and_then_the_right_one(
    simulator: Simulator, threeds_server: ThreedsServer, ares: dict[str, Any]
) -> None:
    """A wrong code is forgiven while tries are left."""
    control, challenge = simulator.access_control, challenge_of(ares)
    await control.enter_code(challenge, "654321", attempt=0)
    found = await control.enter_code(challenge, "123456", attempt=1)

    assert found.final_status == "Y"
    assert threeds_server.results[0]["interactionCounter"] == "02"


async def test_a_result_is_sent_until_it_is_taken(
    simulator: Simulator, threeds_server: ThreedsServer, ares: dict[str, Any]
) -> None:
    """A refusal and an RRes about something else are no acknowledgement: the same RReq comes again."""
    threeds_server.rejections, threeds_server.lies = 1, True
    await end(simulator, ares, "pass")

    assert len(threeds_server.results) == 3
    assert threeds_server.results[0] == threeds_server.results[1] == threeds_server.results[2]


async def test_a_restart_takes_up_what_was_not_acknowledged(
    simulator: Simulator, simulator_database: Database, threeds_server: ThreedsServer, ares: dict[str, Any]
) -> None:
    """A result that nobody took before the process ended is sent by the next one."""
    threeds_server.rejections = 1
    ending = asyncio.create_task(end(simulator, ares, "pass"))
    await until(lambda: len(threeds_server.results) == 1)
    await simulator.close()
    await ending
    successor = Simulator(simulator_database, base_url="http://localhost")
    await successor.start()
    await until(lambda: len(threeds_server.results) == 2)
    await successor.close()

    assert threeds_server.results[0] == threeds_server.results[1]


async def test_a_challenge_survives_a_restart(
    simulator: Simulator, simulator_database: Database, threeds_server: ThreedsServer, ares: dict[str, Any]
) -> None:
    """A challenge that is open when the process ends can be answered at the next one, tries counted on."""
    await simulator.access_control.enter_code(challenge_of(ares), "0", attempt=0)
    await simulator.close()
    successor = Simulator(simulator_database, base_url="http://localhost")
    found = await successor.access_control.open(pack(creq_of(ares)))
    assert found.wrong_codes == 1
    await end(successor, ares, "pass")
    await successor.close()

    assert threeds_server.results[0]["transStatus"] == "Y"


async def test_a_challenge_opened_too_late(hasty: Simulator, threeds_server: ThreedsServer) -> None:
    """A challenge whose time is over ends in N, 05, when somebody comes."""
    ares = await send(hasty, "/directory", areq("challenge", **threeds_server.addresses))
    found = await hasty.access_control.open(pack(creq_of(ares)))

    assert (found.final_status, found.challenge_cancel) == ("N", "05")
    assert threeds_server.results[0]["challengeCancel"] == "05"
    assert ares["acsURL"] == "http://localhost/bank/acs/challenge"


async def test_the_right_code_too_late(hasty: Simulator, threeds_server: ThreedsServer) -> None:
    """After its time the right code passes nothing."""
    ares = await send(hasty, "/directory", areq("challenge", **threeds_server.addresses))

    assert (await end(hasty, ares, "pass"))["transStatus"] == "N"
    assert threeds_server.results[0]["transStatus"] == "N"


async def test_decoupled_authentication(
    simulator: Simulator, acquirer: SimulatedAcquirer, threeds_server: ThreedsServer
) -> None:
    """D is followed by an RReq of Y of its own accord."""
    message = areq("decoupled", threeDSRequestorDecReqInd="Y", **threeds_server.addresses)
    ares = await send(simulator, "/directory", message)
    assert (ares["transStatus"], ares["acsDecConInd"]) == ("D", "Y")
    await until(lambda: bool(threeds_server.results))

    assert threeds_server.results[0]["transStatus"] == "Y"
    assert isinstance(await acquirer.authorize(order("decoupled", proof=proof_of(threeds_server.results[0]))), Approved)


async def test_only_challenges_are_opened(simulator: Simulator, ares: dict[str, Any]) -> None:
    """A CReq that is none, of nobody, of another 3DS Server's transaction, or of a frictionless one opens nothing."""
    frictionless = await send(simulator, "/directory", areq("frictionless"))
    control = simulator.access_control
    for creq in (creq_of(frictionless), creq_of(ares) | {"acsTransID": UNKNOWN}):
        with pytest.raises(NotFound):
            await control.open(pack(creq))
    with pytest.raises(NotFound):
        await control.open(pack(creq_of(ares) | {"threeDSServerTransID": UNKNOWN}))
    with pytest.raises(Invalid):
        await control.open(pack(creq_of(ares) | {"messageType": "CRes"}))


async def test_only_challenges_are_ended(simulator: Simulator, ares: dict[str, Any]) -> None:
    """The control API knows challenges by their id and four ways to end them."""
    frictionless = await send(simulator, "/directory", areq("frictionless"))
    for name in (UNKNOWN, "x", frictionless["acsTransID"]):
        with pytest.raises(NotFound):
            await simulator.handle(f"/control/challenges/{name}", b'{"result":"pass"}')
    with pytest.raises(Invalid):
        await simulator.handle(f"/control/challenges/{ares['acsTransID']}", b'{"result":"maybe"}')


async def until(condition: Any) -> None:
    """Wait until something is so, for five seconds."""
    for _ in range(100):
        if condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it never came")
