"""Attacks on the result of a challenge: whoever knows its ids reports that the cardholder passed."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from tests.support.cardholders import DIRECTORY_SECRET, ServedGateway, build_rreq, new_cavv, open_served_gateway
from tests.support.certificates import make_certificate

from tollhouse.storage.database import Database

IDS = ("threeDSServerTransID", "dsTransID", "acsTransID")


@pytest.fixture
async def served(database: Database, simulator_database: Database) -> AsyncIterator[ServedGateway]:
    """A gateway that is served, and its simulator."""
    async with open_served_gateway(database, simulator_database) as served:
        yield served


@pytest.mark.parametrize(
    "shown",
    ["", "Bearer ", f"Bearer {DIRECTORY_SECRET}x", DIRECTORY_SECRET, f"Basic {DIRECTORY_SECRET}", "Bearer \xff"],
)
async def test_a_stranger_reports_nothing(served: ServedGateway, shown: str) -> None:
    """With all three ids in hand, and without the Directory's secret, a result is 401 and decides nothing."""
    answer = await served.pay("challenge", browser=True)
    authentication = await served.authentication(answer)
    for key in (shown, served.api_key):
        reply = await served.send_result(build_rreq(authentication, "Y"), Authorization=key)
        assert (reply.status, set(reply.json)) == (401, {"message", "errors"})
    assert (await served.authentication(answer)).state == "challenged"
    assert (await served.payment(answer)).status == "pending"


async def test_without_a_secret_nobody_reports(database: Database, simulator_database: Database) -> None:
    """Where no way to know the Directory is set every result is refused."""
    async with open_served_gateway(database, simulator_database, directory_secret=None) as served:
        answer = await served.pay("challenge", browser=True)
        authentication = await served.authentication(answer)
        for shown in ("", "Bearer None", "Bearer "):
            reply = await served.send_result(build_rreq(authentication, "Y"), Authorization=shown)
            assert reply.status == 401


@pytest.mark.parametrize("form", ["rfc9440", "nginx"])
async def test_a_client_certificate_is_enough(database: Database, simulator_database: Database, form: str) -> None:
    """Behind a trusted proxy the Directory's certificate counts, and no other one."""
    right, wrong = make_certificate("directory.example"), make_certificate("directory.example")
    settings: dict[str, Any] = {"directory_secret": None, "directory_certificates": f"AA{':AA' * 31},{colons(right)}"}
    async with open_served_gateway(database, simulator_database, trusted_proxies="127.0.0.1/32", **settings) as served:
        answer = await served.pay("challenge", browser=True)
        result = build_rreq(await served.authentication(answer), "Y")
        for shown in ("", "::", "nonsense", write(wrong, form), write(right, form)[:-80]):
            assert (await served.send_result(result, **{"Client-Cert": shown})).status == 401
        reply = await served.send_result(result, **{"Client-Cert": write(right, form)})
        assert reply.json["messageType"] == "RRes"


async def test_a_certificate_counts_from_a_proxy_only(database: Database, simulator_database: Database) -> None:
    """Whoever sends the header without a trusted proxy between is a stranger: a certificate is no secret."""
    right = make_certificate("directory.example")
    settings: dict[str, Any] = {"directory_secret": None, "directory_certificates": colons(right)}
    async with open_served_gateway(
        database, simulator_database, trusted_proxies="198.51.100.0/24", **settings
    ) as served:
        answer = await served.pay("challenge", browser=True)
        result = build_rreq(await served.authentication(answer), "Y")
        assert (await served.send_result(result, **{"Client-Cert": write(right, "rfc9440")})).status == 401


async def test_ids_are_hidden_until_the_end(served: ServedGateway) -> None:
    """The timeline shows the ids of the messages once no result is awaited any more."""
    answer = await served.pay("challenge", browser=True)
    path = f"/payment/{answer.json['payment']['transactionId']}/timeline"
    authentication = await served.authentication(answer)
    sought = [
        str(value)
        for value in (authentication.three_ds_server_trans_id, authentication.ds_trans_id, authentication.acs_trans_id)
    ]
    timeline = await served.get(path, Authorization=served.api_key)
    assert not any(text in timeline.text for text in (*IDS, *sought))
    await served.report(authentication, "N")
    await served.settled(answer)
    timeline = await served.get(path, Authorization=served.api_key)
    assert all(text in timeline.text for text in (*IDS, *sought))


async def test_a_proof_is_good_once(served: ServedGateway) -> None:
    """A result whose proof another authentication had is refused, also one of the Directory's own; a repeat is not."""
    cavv = new_cavv()
    first = await served.pay("challenge", browser=True)
    authentication = await served.authentication(first)
    for _ in range(2):
        assert (await served.report(authentication, "Y", authenticationValue=cavv)).json["messageType"] == "RRes"
    second = await served.pay("challenge", browser=True)
    reply = await served.report(await served.authentication(second), "Y", authenticationValue=cavv)
    assert (reply.json["messageType"], reply.json["errorDetail"]) == ("Erro", "authenticationValue")
    assert (await served.authentication(second)).state == "challenged"
    assert (await served.payment(second)).status == "pending"


def colons(certificate: x509.Certificate) -> str:
    """Return the fingerprint of a certificate as tools print it."""
    return certificate.fingerprint(SHA256()).hex(":").upper()


def write(certificate: x509.Certificate, form: str) -> str:
    """Write a certificate as a proxy passes it on."""
    if form == "rfc9440":
        return f":{base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()}:"
    return quote(certificate.public_bytes(Encoding.PEM).decode())
