"""The methods of both clients, made from the functions of `calls` and `stage_calls`, and typed for each client.

A method of `Client` returns the response, a method of `AsyncClient` an awaitable of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import Parameter, signature
from types import MethodType
from typing import Any, Generic, ParamSpec, TypeVar, overload

from tollhouse.client import calls, stage_calls
from tollhouse.client.core import Call

Parameters = ParamSpec("Parameters")
Answer = TypeVar("Answer")


class Waiting:
    """A client that waits for responses."""

    def send(self, call: Call[Answer]) -> Answer:
        """Send a call and return its response."""
        raise NotImplementedError


class Awaited:
    """A client whose responses are awaited."""

    async def send(self, call: Call[Answer]) -> Answer:
        """Send a call and return its response."""
        raise NotImplementedError


class Method(Generic[Parameters, Answer]):
    """A method that sends the call of a function. It keeps the function's signature for `help()`."""

    def __init__(self, build: Callable[Parameters, Call[Answer]]) -> None:
        self._build = build
        self._functions: dict[bool, Callable[..., Any]] = {}

    @overload
    def __get__(self, client: Waiting, owner: type[Any]) -> Callable[Parameters, Answer]: ...

    @overload
    def __get__(self, client: Awaited, owner: type[Any]) -> Callable[Parameters, Awaitable[Answer]]: ...

    @overload
    def __get__(self, client: None, owner: type[Any]) -> Callable[..., Any]: ...

    def __get__(self, client: Any, owner: type[Any]) -> Any:
        """Bind to a client. On the class, return the function."""
        is_awaited = issubclass(owner, Awaited)
        if is_awaited not in self._functions:
            self._functions[is_awaited] = _build_function(self._build, is_awaited=is_awaited)
        function = self._functions[is_awaited]
        return function if client is None else MethodType(function, client)


def _build_function(build: Callable[..., Call[Any]], *, is_awaited: bool) -> Callable[..., Any]:
    """Return the method's function, with the signature of the function that builds the call."""

    def send(client: Any, *given: Any, **named: Any) -> Any:
        return client.send(build(*given, **named))

    called = signature(build)
    answer = str(called.return_annotation).removeprefix("Call[").removesuffix("]")
    parameters = [Parameter("self", Parameter.POSITIONAL_OR_KEYWORD), *called.parameters.values()]
    send.__signature__ = called.replace(  # type: ignore[attr-defined]  # functions take attributes
        parameters=parameters, return_annotation=f"Awaitable[{answer}]" if is_awaited else answer
    )
    send.__name__, send.__qualname__, send.__doc__ = build.__name__, f"Methods.{build.__name__}", build.__doc__
    return send


class Methods:
    """The calls of the API."""

    tokenize = Method(calls.tokenize)
    tokenize_account = Method(calls.tokenize_account)
    pay = Method(calls.pay)
    payment = Method(calls.payment)
    timeline = Method(calls.timeline)
    capture = Method(calls.capture)
    void = Method(calls.void)
    credit = Method(calls.credit)
    payment_page = Method(calls.payment_page)
    repaid_link = Method(calls.repaid_link)
    subscription = Method(calls.subscription)
    change_subscription = Method(calls.change_subscription)
    cancel_subscription = Method(calls.cancel_subscription)
    recover_subscription = Method(calls.recover_subscription)
    change_subscription_account = Method(calls.change_subscription_account)
    upcoming = Method(calls.upcoming)
    preview_subscription = Method(calls.preview_subscription)
    create_site = Method(calls.create_site)
    site = Method(calls.site)
    update_site = Method(calls.update_site)
    create_sku = Method(calls.create_sku)
    sku = Method(calls.sku)
    update_sku = Method(calls.update_sku)
    create_consumer = Method(calls.create_consumer)
    consumer = Method(calls.consumer)
    update_consumer = Method(calls.update_consumer)
    payment_accounts = Method(calls.payment_accounts)
    enable_account = Method(calls.enable_account)
    disable_account = Method(calls.disable_account)
    create_test_data = Method(stage_calls.create_test_data)
    list_test_data = Method(stage_calls.list_test_data)
    test_data = Method(stage_calls.test_data)
    change_test_data = Method(stage_calls.change_test_data)
    delete_test_data = Method(stage_calls.delete_test_data)
    external_ips = Method(calls.external_ips)
    rates = Method(calls.rates)
    rate = Method(calls.rate)
    verification_channels = Method(calls.verification_channels)
    send_verification = Method(calls.send_verification)
    check_verification = Method(calls.check_verification)
    transaction_ipn = Method(calls.transaction_ipn)
    order_ipn = Method(calls.order_ipn)
    resend_ipn = Method(calls.resend_ipn)
    resend_events = Method(calls.resend_events)
    events = Method(calls.events)
    feed = Method(calls.feed)
    codes = Method(calls.codes)
