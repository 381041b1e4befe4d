"""The OpenAPI document is valid, and true: whatever is asked, the answer is one that it describes."""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema
from tests.support.gateways import RunningGateway
from tests.support.issuing import number_of
from tests.support.webshop import WebShop, card

#: Of random requests to each path. A longer run: `API_EXAMPLES=5000 pytest tests/api/test_openapi.py`.
EXAMPLES = int(os.environ.get("API_EXAMPLES", "5"))

VERBS = (
    {"Add", "Advance", "Block", "Cancel", "Capture", "Change", "Charge", "Check", "Complete", "Create", "Delete"}
    | {"Disable", "Enable", "Get", "List", "Preview", "Record", "Refund", "Send", "Set", "Tokenize", "Unblock"}
    | {"Undo", "Update", "Void"}
)
#: What makes a random body one that may be approved. Which cards and sites there are is nothing that a schema says.
SOUND: dict[str, dict[str, Any]] = {
    "paymentSource": {"number": number_of("visa"), "cvv": "009", "emulateCode": "0000"},
    "sku": {"siteId": "983759353", "name": "ONE_TIME", "price": [{"amount": 5, "currency": "USD"}], "url": {}},
    "consumer": {"ip": "203.0.113.45", "country": "USA", "firstName": "Jane", "lastName": "Smith"},
}


def make_sound(_: Any, body: Any) -> Any:
    """Hook: put a card, a site and so on that exist in the place of made-up ones; in half of the bodies of any."""
    if isinstance(body, dict):
        is_all_mended = len(str(body)) % 2 == 0
        for part, fields in SOUND.items():
            content = body.get(part)
            if isinstance(content, dict):
                same = {name: value for name, value in fields.items() if type(content.get(name)) is type(value)}
                content |= fields if is_all_mended else same
        if is_all_mended and isinstance(body.get("paymentSource"), dict):
            body["paymentSource"] |= {"type": "card", "expirationMonth": "12", "expirationYear": "30"}
        if isinstance(body.get("number"), str):
            body["number"] = number_of("visa")
        if isinstance(body.get("url"), dict):
            body["url"] = {}
    return body


def explore(gateway: RunningGateway, *, repair: bool) -> tuple[list[str], Counter[str]]:
    """Ask whatever the document allows and forbids; return what was wrong with the answers, and how often each came.

    Two checks are left out. Not every request that the document allows can be approved (a card number has a check
    digit), and not all that it forbids is refused: clients send numbers for texts, and are served.
    """
    config = SchemathesisConfig.from_dict(
        {
            "cache": {"enabled": False},
            "auth": {"openapi": {"ApiKeyAuth": {"api_key": gateway.demo["apiKey"]}}},
            "generation": {"max-examples": EXAMPLES, "mode": "all", "no-shrink": True, "database": "none"},
            "checks": {"positive_data_acceptance": {"enabled": False}, "negative_data_rejection": {"enabled": False}},
            # It would move the time of all that is asked from then on, and wait for made-up servers to take callbacks.
            "operations": [{"include-name": "POST /stage/clock", "enabled": False}],
            # Of bodies that are made sound only random ones are worth asking twice.
            "phases": {"stateful": {"enabled": False}, "coverage": {"enabled": not repair}},
        }
    )
    schema = schemathesis.openapi.from_url(f"{gateway.url}/openapi.json", config=config)
    if repair:
        schema.hook("map_body")(make_sound)
    wrong: list[str] = []
    answers: Counter[str] = Counter()
    print(f"seed {config.seed}")  # noqa: T201 - shown when the test fails
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            wrong += find_failures(event.recorder)
            answers.update(name_answers(event.recorder))
        elif isinstance(event, events.NonFatalError | events.FatalError):
            wrong.append(str(event))
    return wrong, answers


def find_failures(recorder: Any) -> list[str]:
    """Say which checks failed at which requests."""
    return [
        f"{check.name}: {recorder.cases[case_id].value.as_curl_command()}: {check.failure_info}"
        for case_id, checks in recorder.checks.items()
        for check in checks
        if check.status is not Status.SUCCESS
    ]


def name_answers(recorder: Any) -> list[str]:
    """Name each answer by method, path and status."""
    return [
        f"{case.method} {case.path} {interaction.response.status_code}"
        for case_id, interaction in recorder.interactions.items()
        for case in [recorder.cases[case_id].value]
        if interaction.response is not None
    ]


@pytest.mark.slow
@pytest.mark.parametrize("repair", [False, True], ids=["as made up", "with what exists"])
def test_no_answer_outside_the_document(running_gateway: RunningGateway, repair: bool) -> None:  # noqa: FBT001
    """No request leads to a 5xx, nor to a status, type, body or header that the document does not have."""
    wrong, answers = explore(running_gateway, repair=repair)
    assert not wrong, "\n".join(wrong[:5])
    # A run that only ever met refusals would prove little.
    wanted = {"POST /tokenize 201", "POST /tokenize 400", "POST /payment 201", "POST /payment 400", "POST /payment 401"}
    assert wanted <= set(answers)


async def test_the_document_is_valid(shop: WebShop) -> None:
    """The document is OpenAPI 3.1, and each of its schemas is a JSON Schema of the edition of 2020."""
    answer = await shop.get("/openapi.json", key="")
    document = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert document["openapi"] == "3.1.0"
    schemathesis.openapi.from_dict(document).validate()
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema)


async def test_summaries_are_a_verb_and_an_object(shop: WebShop) -> None:
    """The summary of a call is an imperative verb and its object, and no two calls have the same one."""
    document = (await shop.get("/openapi.json", key="")).json()
    summaries = [operation["summary"] for path in document["paths"].values() for operation in path.values()]
    assert {summary for summary in summaries if summary.partition(" ")[0] not in VERBS or " " not in summary} == set()
    assert [summary for summary, count in Counter(summaries).items() if count > 1] == []


async def test_answers_are_as_described(shop: WebShop) -> None:
    """Approved, declined, challenged, recurring and refused: each answer has the form that the document gives it."""
    document = (await shop.get("/openapi.json", key="")).json()
    answers = {
        "PaymentAnswer": [
            await shop.pay(),
            await shop.pay(shop.payment({"type": "card"} | card("decline_05"))),
            await shop.pay(shop.payment({"type": "card", "3ds": True} | card("challenge"))),
            await shop.pay(shop.payment(sku={"name": "PREMIUM_MONTHLY"}, metadata=[1, "a"])),
        ],
        "TokenAnswer": [await shop.tokenize()],
        "OutlookAnswer": [await shop.get("/stage/clock")],
        "ClockAnswer": [await shop.post("/stage/clock", {"advance": "1d"})],
        "ProblemAnswer": [await shop.pay({}), await shop.pay(key="x"), await shop.get("/payment/1")],
    }
    for name, responses in answers.items():
        validator = validator_of(document, name)
        for response in responses:
            validator.validate(response.json())
    validator = validator_of(document, "PaymentEvent")
    for row in await shop.fetch("select body from event"):
        validator.validate(json.loads(row["body"]))


def validator_of(document: dict[str, Any], name: str) -> jsonschema_rs.Draft202012Validator:
    """Return the validator of one schema of the document."""
    return jsonschema_rs.Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    )
