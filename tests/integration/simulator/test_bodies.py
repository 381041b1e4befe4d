"""Bodies that come to the simulator: what is no JSON, and card numbers in the forms of its pages."""

from __future__ import annotations

import base64
from uuid import UUID

import aiohttp
import pytest
from tests.support.every_route import RUBBISH, fill, find_writes
from tests.support.issuing import areq, creq_of, encode, pack
from tests.support.simulator import SECRET
from tests.support.threeds_server import ThreedsServer

from tollhouse.simulator.app import create_simulator_app
from tollhouse.simulator.host import Simulator


@pytest.mark.slow
async def test_malformed_body_is_no_server_error(simulator: Simulator, edge: str) -> None:
    """Malformed JSON, or JSON that is too deep, gives no 5xx on any route, nor do malformed forms."""
    routes = find_writes(create_simulator_app(simulator, secret=SECRET).routes)
    assert len(routes) > len(simulator.paths)
    headers = {"Authorization": f"Bearer {SECRET}"}
    async with aiohttp.ClientSession(edge, headers=headers) as session:
        for method, path in routes:
            target = fill(path, {"acsTransId": str(UUID(int=1))})
            packed = [pack_bytes(name, body) for name in ("creq", "threeDSMethodData") for body in RUBBISH]
            for body in (*RUBBISH, *packed, b"acsTransID=" + str(UUID(int=1)).encode() + b"&attempt=" + b"9" * 4_000):
                async with session.request(method, target, data=body) as response:
                    assert response.status < 500, (path, body[:60], await response.text())


def pack_bytes(name: str, body: bytes) -> bytes:
    """Return a form with a message in one of its fields."""
    return name.encode() + b"=" + base64.urlsafe_b64encode(body).rstrip(b"=")


async def test_texts_with_what_no_database_holds_are_refused(edge: str) -> None:
    """A NUL in a text is 400, a key that comes twice too, and so is half a character."""
    headers = {"Authorization": f"Bearer {SECRET}"}
    bodies = (b'{"reference": "a\\u0000"}', b'{"reference": "a", "reference": "b"}', b'{"reference": "\\ud83d"}')
    async with aiohttp.ClientSession(edge, headers=headers) as session:
        for body in bodies:
            async with session.post("/simulator/acquirer/inquire", data=body) as response:
                assert response.status == 400, (body, await response.text())


async def test_session_data_with_a_card_number_are_not_shown(edge: str, threeds_server: ThreedsServer) -> None:
    """The bank's page gives session data back as they are, unless a card number stands in them."""
    headers = {"Authorization": f"Bearer {SECRET}"}
    message = areq("challenge", **threeds_server.addresses)
    async with aiohttp.ClientSession(edge, headers=headers) as session:
        async with session.post("/simulator/directory", data=encode(message)) as response:
            form = {"creq": pack(creq_of(await response.json()))}
        for said, is_shown in (("order 7", True), ("card 5555 5555 5555 4444", False)):
            data = form | {"threeDSSessionData": said}
            async with session.post("/simulator/acs/challenge", data=data) as response:
                assert response.status == 200
                assert (said in await response.text()) == is_shown
