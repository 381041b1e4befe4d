"""What a client sends, when it sends it again, and what it makes of an answer."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tollhouse.client import ApiError, NotAnswered, Retries, calls, price, token
from tollhouse.client.answers import PaymentAnswer, Token
from tollhouse.client.core import Call, Message, Outcome, build_message, read_outcome

RETRIES = Retries(attempts=3, first_pause_seconds=1.0, longest_pause_seconds=4.0, draw=lambda: 1.0)


def build(call: Call[Any]) -> Message:
    """Write a call down for some gateway."""
    return build_message(call, base_url="http://gateway.example/", key="th_stage_key")


def test_a_payment_is_written_by_the_names_of_the_wire() -> None:
    """Amounts are numbers with their own digits, absent parts are left out, the key goes bare."""
    call = calls.pay(
        source=token("abcde"),
        sku={"siteId": "983759353", "price": [price("19.90", "USD")]},
        consumer={"ip": "203.0.113.45", "email": None},
        request_id="order-1",
    )
    message = build(call)
    assert (message.method, message.url) == ("POST", "http://gateway.example/payment")
    assert message.headers["Authorization"] == "th_stage_key"
    assert message.headers["X-Request-ID"] == "order-1"
    assert message.content is not None
    assert b'"amount":19.90' in message.content
    assert msgspec.json.decode(message.content) == {
        "paymentSource": {"type": "token", "token": "abcde"},
        "sku": {
            "siteId": "983759353",
            "price": [{"offset": "0d", "amount": 19.9, "currency": "USD", "repeat": False}],
        },
        "consumer": {"ip": "203.0.113.45"},
    }


def test_each_call_has_an_id_of_its_own() -> None:
    """Two calls are two requests, unless the caller names them."""
    assert build(calls.payment("1")).request_id != build(calls.payment("1")).request_id


def test_floats_are_refused() -> None:
    """An amount that is not exact is not sent."""
    with pytest.raises(TypeError, match="not exact"):
        build(calls.pay(source=token("abcde"), sku={"price": [{"amount": 19.99}]}, consumer={}))


def test_identifiers_are_one_step_of_a_path() -> None:
    """Whatever an identifier holds, it leads to no other call."""
    assert build(calls.site("1/../2?x=é")).url == "http://gateway.example/site/1%2F..%2F2%3Fx%3D%C3%A9"


def test_queries_leave_out_what_is_not_given() -> None:
    """A filter that is None is none."""
    call = calls.feed(orderId="7", status=None, limit=10)
    assert build(call).url == "http://gateway.example/feed/transactions?orderId=7&limit=10"


@pytest.mark.parametrize(
    ("outcome", "pauses"),
    [
        (Outcome(None, cause=OSError()), [1.0, 2.0, None]),
        (Outcome(503), [1.0, 2.0, None]),
        (Outcome(409, retry_after="3"), [3.0, 3.0, None]),
        (Outcome(503, retry_after="3600"), [4.0, 4.0, None]),
        (Outcome(503, retry_after="Sun, 22 Nov 2026 12:00:00 GMT"), [1.0, 2.0, None]),
        (Outcome(201), [None]),
        (Outcome(400), [None]),
        (Outcome(422), [None]),
    ],
)
def test_what_may_come_out_otherwise_is_sent_again(outcome: Outcome, pauses: list[float | None]) -> None:
    """Silence, a full queue and a fault are worth a repeat, after a pause that doubles; a refusal is final."""
    assert [RETRIES.pause_seconds(attempt + 1, outcome) for attempt in range(len(pauses))] == pauses


def test_clients_do_not_come_back_together() -> None:
    """The pause is drawn from half to whole of its length."""
    early = Retries(first_pause_seconds=1.0, draw=lambda: 0.0)
    assert early.pause_seconds(1, Outcome(503)) == 0.5


def test_a_refusal_names_its_fields() -> None:
    """An error says what is wrong with which field, and which request it was."""
    body = b'{"message":"The request has faulty fields.","errors":{"consumer.ip":["is required"]}}'
    with pytest.raises(ApiError, match=r"400: The request has faulty fields\. consumer\.ip is required") as caught:
        read_outcome(calls.payment("1"), Outcome(400, body), request_id="r")
    assert (caught.value.status, caught.value.errors) == (400, {"consumer.ip": ["is required"]})
    assert caught.value.request_id == "r"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"message": 1}'])
def test_a_refusal_without_reason_is_one_too(body: bytes) -> None:
    """Somebody on the way may answer in our place, and not as we do."""
    with pytest.raises(ApiError, match="502"):
        read_outcome(calls.payment("1"), Outcome(502, body), request_id="r")


def test_no_answer_keeps_the_id() -> None:
    """Who got no answer is told under which id to ask again."""
    with pytest.raises(NotAnswered) as caught:
        read_outcome(calls.payment("1"), Outcome(None, cause=OSError("refused")), request_id="order-1")
    assert caught.value.request_id == "order-1"


def test_answers_are_exact_and_forgiving() -> None:
    """Amounts are decimals; fields that this client does not know are ignored."""
    body = (
        b'{"payment":{"transactionId":"1","orderId":"2","status":"success","code":"0","amount":19.90,"new":1},'
        b'"consumer":{"id":"c"},"metadata":{"a":1}}'
    )
    answer: PaymentAnswer = read_outcome(calls.payment("1"), Outcome(200, body), request_id="r")
    assert answer.payment.amount == Decimal("19.90")
    assert answer.payment.is_approved


def test_an_answer_that_is_none_is_an_error() -> None:
    """What cannot be read is not taken for an answer."""
    call: Call[Token] = calls.tokenize("4024007179366348", month="12", year="30")
    with pytest.raises(ApiError, match="not understood"):
        read_outcome(call, Outcome(201, b'{"token": 5}'), request_id="r")
