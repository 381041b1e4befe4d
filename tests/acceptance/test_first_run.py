"""What `tollhouse dev` promises to whoever starts it: a banner, demo.json, a clean stop, and nothing lost."""

from __future__ import annotations

import http.client
import json
import socket
import stat
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.commands import run_tollhouse
from tests.support.gateways import RunningGateway, request
from tests.support.listener import Listener
from tests.support.processes import SOURCE

if TYPE_CHECKING:
    from pathlib import Path

#: Approves at once, and answers after half a minute.
ANSWERED_LATE = "4000000090030000"


def build_payment(
    gateway: RunningGateway, *, number: str = "4024007179366348", ipn_url: str | None = None
) -> dict[str, Any]:
    """Return a small payment."""
    return {
        "paymentSource": {
            "type": "card",
            "number": number,
            "expirationMonth": "12",
            "expirationYear": "30",
            "cvv": "009",
        },
        "sku": {"siteId": gateway.demo["siteId"], "price": [{"offset": "0d", "amount": 5, "currency": "EUR"}]},
        "consumer": {"externalId": "someone", "firstName": "Jane", "lastName": "Smith", "ip": "203.0.113.45"},
        "url": {"ipnUrl": ipn_url} if ipn_url else {},
    }


def test_the_banner_and_demo_json_say_the_same(gateway: RunningGateway) -> None:
    """Everything that a newcomer needs is printed, and written to demo.json for its owner only."""
    demo = gateway.demo

    assert demo.keys() == {"baseUrl", "apiKey", "ipnSecret", "siteId", "portal"}
    assert demo["portal"].keys() == {"url", "email", "password"}
    assert stat.S_IMODE((gateway.data_directory / "demo.json").stat().st_mode) == 0o600
    for told in (demo["baseUrl"], demo["apiKey"], demo["siteId"], demo["portal"]["password"], "curl "):
        assert told in gateway.log


def test_the_callback_arrives_signed(gateway: RunningGateway, listener: Listener) -> None:
    """The final status comes by IPN, once, with a signature that the documentation's formula verifies."""
    status, answer = request(
        f"{gateway.url}/payment", body=build_payment(gateway, ipn_url=listener.url), key=gateway.demo["apiKey"]
    )
    [callback] = listener.wait_for(answer["payment"]["transactionId"])

    assert status == 201
    assert callback["body"]["payment"] == answer["payment"]
    assert callback["body"]["consumer"] == answer["consumer"]
    assert callback["body"]["timestamp"]["unixTime"].isdigit()
    assert listener.forged == 0


def test_a_second_start_has_the_same_demo_and_the_same_payments(data_directory: Path) -> None:
    """SIGTERM ends the process within 5 s, its database with it; the next start finds everything as it was."""
    gateway = RunningGateway(data_directory)
    try:
        gateway.start()
        demo = gateway.demo
        _, paid = request(f"{gateway.url}/payment", body=build_payment(gateway), key=demo["apiKey"])
        took = gateway.terminate()
        assert took < 5
        assert not (data_directory / "postgres" / "postmaster.pid").exists()

        gateway.start()
        transaction_id = paid["payment"]["transactionId"]
        found = request(f"{gateway.url}/payment/{transaction_id}", key=demo["apiKey"])
        assert gateway.demo == demo
        assert found == (200, paid)
    finally:
        gateway.close()


def test_a_request_that_a_stop_cuts_off_is_told_to_come_again(data_directory: Path) -> None:
    """A stop waits three seconds in all; a request that is open then is told to come again, and is carried on."""
    gateway = RunningGateway(data_directory)
    try:
        gateway.start()
        own = {"X-Request-ID": "cut-1", "Authorization": gateway.demo["apiKey"], "Content-Type": "application/json"}
        body = json.dumps(build_payment(gateway, number=ANSWERED_LATE))
        with closing(http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)) as connection:
            connection.request("POST", "/payment", body, own)
            time.sleep(0.5)
            took = gateway.terminate()
            answer = connection.getresponse()
            said = json.loads(answer.read())
        assert (answer.status, answer.headers["Retry-After"], answer.headers["X-Request-ID"]) == (503, "2", "cut-1")
        assert said["message"] == "The gateway is stopping. Retry with the same X-Request-ID."
        assert said["errors"] == {}
        assert took < 5

        gateway.start()
        [kept] = find_by_request_id(gateway, "cut-1")
        assert kept["payment"]["source"]["number"] == "400000****0000"
    finally:
        gateway.close()


def test_a_second_process_on_the_same_data_says_so(gateway: RunningGateway) -> None:
    """Two gateways on one data directory would be two databases in one: the second one ends with a sentence."""
    second = RunningGateway(gateway.data_directory)
    with pytest.raises(AssertionError, match=r"tollhouse: Another process .*runs the database") as refused:
        second.start()

    assert "Traceback" not in str(refused.value).rpartition("tollhouse:")[2]


@pytest.mark.parametrize("command", ["dev", "serve", "simulate", "work"])
def test_a_taken_port_is_told_in_a_line(command: str, tmp_path: Path) -> None:
    """A process whose port another one has ends at once, with one line that names the port and the way out."""
    option = "--health-port" if command == "work" else "--port"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        environment = {"PYTHONPATH": str(SOURCE), "PATH": "", "TOLLHOUSE_DATA_DIR": str(tmp_path / "data")}
        ended = run_tollhouse(command, option, str(port), environment=environment)

    told = f"tollhouse: Port {port} of 127.0.0.1 is used by another process. Choose another with {option} or "
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"{told}TOLLHOUSE_{option[2:].replace('-', '_').upper()}.\n"
    assert not (tmp_path / "data").exists()


def test_a_client_that_goes_away_does_not_take_its_payment_along(data_directory: Path) -> None:
    """The payment of a client that hung up finishes, and the repeat with the same request id gets its answer."""
    gateway = RunningGateway(data_directory)
    try:
        gateway.start()
        hang_up_after_sending(gateway, request_id="gone-1")
        time.sleep(0.5)
        headers = {"X-Request-ID": "gone-1"}
        status, answer = request(
            f"{gateway.url}/payment", body=build_payment(gateway), key=gateway.demo["apiKey"], headers=headers
        )
        assert (status, answer["payment"]["status"]) == (201, "success")
        [kept] = find_by_request_id(gateway, "gone-1")
        assert kept["payment"]["transactionId"] == answer["payment"]["transactionId"]
    finally:
        gateway.close()


def find_by_request_id(gateway: RunningGateway, request_id: str) -> list[Any]:
    """Return the transactions that a request made."""
    _, page = request(f"{gateway.url}/feed/transactions?requestId={request_id}", key=gateway.demo["apiKey"])
    transactions: list[Any] = page["data"]
    return transactions


def hang_up_after_sending(gateway: RunningGateway, *, request_id: str) -> None:
    """Send a payment over a bare socket and close it without reading."""
    body = json.dumps(build_payment(gateway)).encode()
    head = (
        f"POST /payment HTTP/1.1\r\nHost: x\r\nAuthorization: {gateway.demo['apiKey']}\r\n"
        f"X-Request-ID: {request_id}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
        connection.sendall(head.encode() + body)
