"""Requests of a client: building, retries and responses."""

from __future__ import annotations

from decimal import Decimal
from inspect import isfunction, signature
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.client import ApiError, AsyncClient, Client, NotAnswered, Retries, calls, price, stage_calls, token
from tollhouse.client.answers import PaymentResponse
from tollhouse.client.core import AttemptOutcome, Call, Exchange, PreparedRequest, build_message
from tollhouse.client.methods import Methods

RETRIES = Retries(attempts=3, first_pause_seconds=1.0, longest_pause_seconds=4.0, draw=lambda: 1.0)
ANSWER = (
    b'{"payment":{"transactionId":"1","orderId":"2","status":"success","code":"0","amount":19.90,"new":1},'
    b'"consumer":{"id":"c"},"metadata":{"a":1}}'
)
PROBLEM = b'{"message":"Refused.","errors":{}}'
#: Outcomes after which nobody knows whether the request was carried out.
UNKNOWN = [
    AttemptOutcome(None, cause=OSError("reset")),
    *(
        AttemptOutcome(status, PROBLEM)
        for status in (301, 302, 307, 408, 409, 425, 429, 500, 501, 502, 503, 504, 520, 599)
    ),
    AttemptOutcome(502, b"<html>"),
    AttemptOutcome(201, b""),
    AttemptOutcome(201, ANSWER[:-1]),
    AttemptOutcome(200, b'{"token": 5}'),
]


def build(call: Call[Any]) -> PreparedRequest:
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
    with pytest.raises(TypeError, match="which are exact"):
        build(calls.pay(source=token("abcde"), sku={"price": [{"amount": 19.99}]}, consumer={}))


def test_identifiers_are_one_step_of_a_path() -> None:
    """An identifier with any characters leads to no other call."""
    assert build(calls.site("1/../2?x=é")).url == "http://gateway.example/site/1%2F..%2F2%3Fx%3D%C3%A9"


def test_queries_leave_out_what_is_not_given() -> None:
    """A filter that is None is none."""
    call = calls.feed(order_id="7", status=None, limit=10)
    assert build(call).url == "http://gateway.example/feed/transactions?orderId=7&limit=10"


def exchange(
    call: Call[Any], *outcomes: AttemptOutcome, retries: Retries = RETRIES
) -> tuple[list[float | None], Exchange[Any]]:
    """Let a call have outcomes, one for each attempt; return the pauses before the next, and the exchange."""
    running: Exchange[Any] = Exchange(call, retries, base_url="http://gateway.example", key="")
    return [running.take(outcome) for outcome in outcomes], running


@pytest.mark.parametrize(
    ("outcome", "pauses"),
    [
        (AttemptOutcome(None, cause=OSError()), [1.0, 2.0, None]),
        (AttemptOutcome(503), [1.0, 2.0, None]),
        (AttemptOutcome(520), [1.0, 2.0, None]),
        (AttemptOutcome(408), [1.0, 2.0, None]),
        (AttemptOutcome(201, b"<html>"), [1.0, 2.0, None]),
        (AttemptOutcome(409, retry_after="3"), [3.0, 3.0, None]),
        (AttemptOutcome(503, retry_after="3600"), [4.0, 4.0, None]),
        (AttemptOutcome(503, retry_after="Sun, 22 Nov 2026 12:00:00 GMT"), [1.0, 2.0, None]),
        (AttemptOutcome(201, ANSWER), [None]),
        (AttemptOutcome(307), [None]),
        (AttemptOutcome(400), [None]),
        (AttemptOutcome(422), [None]),
    ],
)
def test_unknown_outcomes_are_sent_again(outcome: AttemptOutcome, pauses: list[float | None]) -> None:
    """An unknown outcome is sent again, after a pause that doubles; answers, refusals and redirects end the call."""
    assert exchange(calls.payment("1"), *[outcome] * len(pauses))[0] == pauses


def test_clients_do_not_come_back_together() -> None:
    """The pause is drawn from half to whole of its length."""
    early = Retries(first_pause_seconds=1.0, draw=lambda: 0.0)
    assert early.pause_seconds(1) == 0.5


def test_a_refusal_names_its_fields() -> None:
    """An error says which field is faulty and why, and under which id the request was sent."""
    body = (
        b'{"message":"The request is invalid. Correct the fields in errors.","errors":{"consumer.ip":["is required"]}}'
    )
    _, running = exchange(calls.void("1", request_id="r"), AttemptOutcome(400, body))
    with pytest.raises(
        ApiError, match=r"400: The request is invalid\. Correct the fields in errors\. consumer\.ip is required"
    ) as caught:
        running.answer()
    assert (caught.value.status, caught.value.errors) == (400, {"consumer.ip": ["is required"]})
    assert caught.value.request_id == "r"


@given(
    doubts=st.lists(st.sampled_from(UNKNOWN), max_size=3),
    last=st.sampled_from(UNKNOWN),
)
def test_an_unknown_outcome_is_never_a_refusal(doubts: list[AttemptOutcome], last: AttemptOutcome) -> None:
    """Silence, 3xx, 408, 409, 429, 5xx and unreadable successes end as NotAnswered, which names the request id."""
    _, running = exchange(calls.void("1", request_id="order-1"), *doubts, last)
    with pytest.raises(NotAnswered, match="Repeat it with the same request_id, order-1") as caught:
        running.answer()
    assert caught.value.request_id == "order-1"
    assert caught.value.status == last.status


@pytest.mark.parametrize("doubt", UNKNOWN, ids=str)
@pytest.mark.parametrize("status", [401, 403, 404, 405, 407])
def test_a_refused_caller_says_nothing_about_an_earlier_attempt(doubt: AttemptOutcome, status: int) -> None:
    """After an unanswered attempt a 401, 403 or 404 leaves the outcome unknown; alone, it is a refusal."""
    rejection = AttemptOutcome(status, PROBLEM)
    with pytest.raises(NotAnswered):
        exchange(calls.void("1"), doubt, rejection)[1].answer()
    with pytest.raises(ApiError, match=str(status)):
        exchange(calls.void("1"), rejection)[1].answer()


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_the_gateways_own_refusal_is_final(status: int) -> None:
    """The gateway looks for the request id before it refuses: its 400 or 422 is final, also after silence."""
    with pytest.raises(ApiError, match=str(status)):
        exchange(calls.void("1"), AttemptOutcome(None, cause=OSError()), AttemptOutcome(status, PROBLEM))[1].answer()
    with pytest.raises(NotAnswered):
        exchange(calls.void("1"), AttemptOutcome(None, cause=OSError()), AttemptOutcome(status, b"<html>"))[1].answer()


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"message": 1}', b'{"message": "\xff"}', b'{"message":' * 60_000]
)
def test_a_refusal_without_a_reason_is_a_refusal(body: bytes) -> None:
    """Something between client and gateway may refuse a request, in a form of its own."""
    with pytest.raises(ApiError, match="413: The response gives no reason"):
        exchange(calls.payment("1"), AttemptOutcome(413, body))[1].answer()


@pytest.mark.parametrize("body", [b'{"payment": "\xff"}', b'{"payment":' * 60_000])
def test_an_answer_that_cannot_be_read_leaves_the_outcome_unknown(body: bytes) -> None:
    """Bad UTF-8 and endless brackets in a 201 say nothing of what became of the request."""
    with pytest.raises(NotAnswered):
        exchange(calls.void("1"), AttemptOutcome(201, body))[1].answer()


def test_answers_are_exact_and_forgiving() -> None:
    """Amounts are decimals; fields that this client does not know are ignored."""
    answer: PaymentResponse = exchange(calls.payment("1"), AttemptOutcome(200, ANSWER))[1].answer()
    assert answer.payment.amount == Decimal("19.90")
    assert answer.payment.is_approved


@pytest.mark.parametrize("request_id", ["", "a b", "ä", "x" * 129, "a\n"])
def test_a_request_id_that_no_header_can_hold_is_not_sent(request_id: str) -> None:
    """A request id has 1 to 128 visible ASCII characters."""
    with pytest.raises(ValueError, match="1 to 128 visible ASCII"):
        build(calls.void("1", request_id=request_id))


@pytest.mark.parametrize(
    "url", ["notaurl", "", "pay.example", "ftp://pay.example", "https://", "https://u:p@pay.example", "https://h:0"]
)
@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_a_base_url_that_is_none_is_rejected(client: type[Client | AsyncClient], url: str) -> None:
    """A wrong base URL is noticed when the client is made, not at the first payment."""
    with pytest.raises(ValueError, match="base_url must look like"):
        client(url)


@pytest.mark.parametrize("amount", [19.99, True, None])
def test_a_price_takes_no_float(amount: Any) -> None:
    """An amount that is not exact is refused where it is given."""
    with pytest.raises(TypeError, match="text, int or Decimal"):
        price(amount, "USD")
    with pytest.raises(ValueError, match="is not an amount"):
        price("nineteen", "USD")


#: The functions that build calls.
BUILT = {
    name: value
    for module in (calls, stage_calls)
    for name, value in vars(module).items()
    if isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
}


def test_every_call_is_a_method() -> None:
    """Each call that can be built can be sent by both clients."""
    assert set(BUILT) == {name for name in vars(Methods) if not name.startswith("_")}


@pytest.mark.parametrize("client", [Client, AsyncClient])
@pytest.mark.parametrize("name", [name for name in vars(Methods) if not name.startswith("_")])
def test_help_shows_real_signatures(client: type[Client | AsyncClient], name: str) -> None:
    """Each method has the parameters of its call, each by its own name, and a docstring."""
    method = getattr(client, name)
    shown, built = signature(method), signature(BUILT[name])
    assert list(shown.parameters.values())[1:] == list(built.parameters.values())
    assert str(shown.return_annotation).removeprefix("Awaitable[").rstrip("]") in str(built.return_annotation)
    assert all(each.kind is not each.VAR_KEYWORD for each in shown.parameters.values())
    assert method.__doc__ == BUILT[name].__doc__
    assert method.__name__ == name
