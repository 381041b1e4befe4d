"""Clients that others generate from the OpenAPI document, through tokenize, pay, 3-D Secure and refund."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openapi_spec_validator
import pytest
from tests.support.gateways import RunningGateway
from tests.support.issuing import number_of
from tests.support.webshop import WebShop, card

TOOLS = Path(__file__).parents[1] / "clients"
BIN = TOOLS / "node_modules" / ".bin"
PRICE = {"offset": "0d", "amount": 19.99, "currency": "USD", "repeat": False}
#: A hang ends after this time.
TIMEOUT_SECONDS = 240

needs_node = pytest.mark.skipif(
    not (BIN / "spectral").exists(), reason="the node tools are not installed: make node-tools, which needs npm"
)


@pytest.fixture
def directory(tmp_path: Path, running_gateway: RunningGateway) -> Path:
    """A directory with the document of a running gateway in it."""
    answer = fetch(f"{running_gateway.url}/openapi.json")
    (tmp_path / "openapi.json").write_bytes(answer)
    return tmp_path


@pytest.fixture
def generated(directory: Path) -> Iterator[Path]:
    """A directory with the generated Python client, from which it can be imported."""
    run([sys.executable, "-m", "openapi_python_client", "generate", "--path", "openapi.json"], directory)
    [client] = [path for path in directory.iterdir() if path.is_dir()]
    sys.path.insert(0, str(client))
    yield client
    sys.path.remove(str(client))


def fetch(url: str) -> bytes:
    """Return what is at a URL."""
    return subprocess.run(["curl", "-sf", url], check=True, capture_output=True, timeout=TIMEOUT_SECONDS).stdout


def run(command: list[str], directory: Path, **environment: str) -> str:
    """Run a tool to its end, and return what it wrote. A tool that fails or warns is the test's failure."""
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
    ended = subprocess.run(
        command,
        cwd=directory,
        env={"HOME": str(directory), "PATH": path} | environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "warning" not in (ended.stdout + ended.stderr).lower(), ended.stdout + ended.stderr
    return ended.stdout


async def test_the_document_is_openapi(shop: WebShop) -> None:
    """The document is valid OpenAPI 3.1 by its published schema."""
    openapi_spec_validator.validate((await shop.get("/openapi.json")).json())


async def test_every_call_has_examples(shop: WebShop) -> None:
    """Every body of a request, every success with a body and every 400 has an example, and all headers are declared."""
    document = (await shop.get("/openapi.json")).json()
    bare: list[str] = []
    for path, calls in document["paths"].items():
        for method, call in calls.items():
            bodies = [("request", call["requestBody"])] if "requestBody" in call else []
            bodies += [(status, one) for status, one in call["responses"].items() if status in {"200", "201", "400"}]
            bare += [
                f"{method} {path} {name}"
                for name, body in bodies
                for content in body.get("content", {}).values()
                if not content.get("examples")
            ]
            assert {"429", "500", "503"} <= call["responses"].keys(), (method, path)
            for status, response in call["responses"].items():
                assert "X-Request-ID" in response["headers"], (method, path, status)
                assert ("Retry-After" in response["headers"]) == (status in {"409", "429", "503"}), (path, status)
    assert not bare


async def test_optional_fields_are_left_out_and_never_null(shop: WebShop) -> None:
    """No schema of a request or response knows null or a default, but for the issuer's journal, shown as it is."""
    schemas = (await shop.get("/openapi.json")).json()["components"]["schemas"]
    for name, schema in schemas.items():
        text = json.dumps(schema)
        assert '"default":' not in text, name
        assert '"null"' not in text or name == "JournalEntry", name
    # Responses may grow: a client that was generated yesterday takes tomorrow's.
    assert "additionalProperties" not in schemas["PaymentAnswer"]


@pytest.mark.slow
def test_a_python_client(generated: Path, running_gateway: RunningGateway) -> None:
    """openapi-python-client makes a client without a warning, and a payment goes through it to its refund."""
    demo = running_gateway.demo
    [package] = [path.name for path in generated.iterdir() if (path / "__init__.py").exists()]

    def load(name: str) -> Any:
        return importlib.import_module(f"{package}.{name}")

    def build(model: str, content: dict[str, Any]) -> Any:
        return getattr(load("models"), model).from_dict(content)

    with load("client").AuthenticatedClient(running_gateway.url, token=demo["apiKey"], prefix="") as client:
        token = load("api.tokens.post_tokenize").sync(
            client=client, body=build("TokenizeRequest", card("challenge")), x_requested_with="XMLHttpRequest"
        )
        payment = {
            "paymentSource": {"type": "token", "token": str(token.token), "3ds": True},
            "sku": {"siteId": str(demo["siteId"]), "title": "Premium", "price": [PRICE]},
            "consumer": {"id": "user-py", "email": "jane@shop.example", "ip": "203.0.113.45"},
            "metadata": {"cart": "A-1"},
        }
        asked = load("api.payments.post_payment").sync(client=client, body=build("PaymentRequest", payment))
        assert (asked.payment.status, asked.payment.action) == ("pending", "redirect")
        paid = load("api.stage.answer_challenge").sync(
            asked.payment.order_id, client=client, body=build("ChallengeRequest", {"result": "pass"})
        )
        assert paid.payment.status == "success"
        credit, number = load("api.payments.post_credit").sync, paid.payment.transaction_id
        part = build("CreditRequest", {"amount": 5, "reason": "Returned"})
        refunded = credit(number, client=client, body=part)
        assert (refunded.payment.mode, refunded.payment.amount) == ("refund", 5)
        too_much = build("CreditRequest", {"amount": 500, "reason": "No"})
        rejected = credit(number, client=client, body=too_much)
        assert set(rejected.errors.additional_properties) == {"amount"}


@pytest.mark.slow
@needs_node
def test_spectral_finds_nothing(directory: Path) -> None:
    """Spectral's rules for OpenAPI find no error and no warning."""
    run(
        [str(BIN / "spectral"), "lint", "openapi.json", "--ruleset", str(TOOLS / "spectral.yaml"), "-F", "warn"],
        directory,
    )


@pytest.mark.slow
@needs_node
def test_a_typescript_client(directory: Path, running_gateway: RunningGateway) -> None:
    """openapi-typescript makes types with which a strict program compiles, and pays, and refunds."""
    demo = running_gateway.demo
    (directory / "node_modules").symlink_to(TOOLS / "node_modules")
    for name in ("flow.ts", "package.json", "tsconfig.json"):
        shutil.copy(TOOLS / name, directory / name)
    run([str(BIN / "openapi-typescript"), "openapi.json", "--output", "schema.d.ts"], directory)
    run([str(BIN / "tsc"), "--project", "."], directory)
    settings = {
        "url": running_gateway.url,
        "key": demo["apiKey"],
        "siteId": str(demo["siteId"]),
        "number": number_of("challenge"),
    }
    told = json.loads(run(["node", "flow.js"], directory, TOLLHOUSE_FLOW=json.dumps(settings)))
    assert told == {
        "asked": "pending",
        "paid": "success",
        "refunded": ["refund", "success", 5],
        "rejected": [400, ["amount"]],
    }
