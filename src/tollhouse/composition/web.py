"""What speaks HTTP, put together: API, checkout, portal and, in stage, what stands in for people and banks.

The part of the composition root that only processes with a port need.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from litestar import Litestar
from litestar.exceptions import HTTPException

from tollhouse.api.callbacks import callback_handlers
from tollhouse.api.chargeback import chargeback_handlers
from tollhouse.api.codes import code_handlers
from tollhouse.api.consumer import consumer_handlers
from tollhouse.api.cors import Cors
from tollhouse.api.document import document_handlers
from tollhouse.api.envelope import Envelope
from tollhouse.api.feed import feed_handlers
from tollhouse.api.legacy import legacy_handlers
from tollhouse.api.limits import TokenizeLimits
from tollhouse.api.operations import operation_handlers
from tollhouse.api.parts import Parts
from tollhouse.api.payment import PaymentCalls, payment_handlers
from tollhouse.api.payment_account import payment_account_handlers
from tollhouse.api.payment_page import payment_page_handlers
from tollhouse.api.phones import phone_handlers
from tollhouse.api.problems import answer_defect, answer_http_exception, answer_refusal
from tollhouse.api.rates import rate_handlers
from tollhouse.api.screened import Screened
from tollhouse.api.site import site_handlers
from tollhouse.api.sku import sku_handlers
from tollhouse.api.static import static_handlers
from tollhouse.api.stoppable import Stoppable
from tollhouse.api.straight import StraightWay
from tollhouse.api.subscription import subscription_handlers
from tollhouse.api.timeline import timeline_handlers
from tollhouse.api.tokenize import build_tokenize, tokenize_handlers
from tollhouse.api.tokenize_account import build_tokenize_account, tokenize_account_handlers
from tollhouse.checkout.handlers import checkout_handlers
from tollhouse.checkout.pay_handlers import PaymentPageDependencies, pay_handlers
from tollhouse.checkout.results import DirectoryAccess, results_route
from tollhouse.composition.choices import choose_rates
from tollhouse.composition.staging import build_clockwork, build_stage_handlers
from tollhouse.http.headers import Completed
from tollhouse.http.health import PUBLIC_PAGES, Pages
from tollhouse.kernel.errors import Refusal
from tollhouse.merchants.passwords import PasswordGate
from tollhouse.portal.handlers import Portal, portal_handlers
from tollhouse.simulator.app import create_router

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from tollhouse.api.asgi import Application
    from tollhouse.composition.app import Gateway
    from tollhouse.composition.settings import Settings
    from tollhouse.http.health import Health
    from tollhouse.simulator.host import Simulator


def build_web(
    gateway: Gateway,
    simulator: Simulator | None = None,
    *,
    others_learn_seconds: float = 0.0,
    at_once: bool = True,
    health: Health | None = None,
) -> Application:
    """Put together what speaks HTTP: API, checkout and, in stage, what stands in for people and banks.

    `others_learn_seconds` is how long other processes take to learn that a clock was moved; 0 where there are none.
    Without `at_once` each part is built when it is first asked for. Without `health` there is only `/healthz`, as is
    right where strangers may ask.
    """
    settings, readers = gateway.settings, gateway.for_readers()
    context = partial(_validation_context, settings)
    pay = PaymentCalls(gateway.tools, gateway.gate, context).pay
    limits = TokenizeLimits(choose_rates(settings))
    make_token = build_tokenize(gateway.mint, gateway.gate, limits, context)
    parts = Parts(_build_app)
    handlers: list[ControllerRouterHandler] = [
        *payment_handlers(gateway.tools, gateway.gate, pay),
        *operation_handlers(gateway.tools, gateway.gate, context),
        *payment_page_handlers(gateway.tools, gateway.gate, context),
        *subscription_handlers(gateway.biller, gateway.gate, context),
        *chargeback_handlers(gateway.tools, gateway.gate),
        *tokenize_handlers(make_token),
        *tokenize_account_handlers(
            build_tokenize_account(gateway.mint, gateway.database, gateway.gate, limits, context)
        ),
        *site_handlers(gateway.tools, gateway.gate, context),
        *sku_handlers(gateway.tools, gateway.gate),
        *consumer_handlers(gateway.tools, gateway.gate),
        *payment_account_handlers(gateway.tools, gateway.gate),
        *rate_handlers(gateway.tools.rates, gateway.gate, settings.egress),
        *phone_handlers(gateway.desk, gateway.gate, gateway.vault.digest),
        *callback_handlers(gateway.tools, readers.tools, gateway.gate, partial(_validation_context, settings)),
        *code_handlers(),
        *feed_handlers(readers.tools, gateway.gate),
        *legacy_handlers(gateway.tools, gateway.gate),
        *timeline_handlers(readers.tools, gateway.gate),
        *document_handlers(parts.routes, settings.public_url, is_live=settings.is_live),
        *static_handlers(),
        *checkout_handlers(gateway.tools, address_of=gateway.gate.address_of),
        results_route(gateway.tools, _build_directory_access(gateway)),
        *pay_handlers(_open_till(gateway)),
        *portal_handlers(_open_portal(readers)),
    ]
    if not settings.is_live:
        handlers += _stage_handlers(gateway, others_learn_seconds)
    if simulator is not None:
        handlers.append(create_router(simulator, path="/simulator"))
    parts.add(handlers)
    if at_once:
        parts.build()
    is_allowed = (lambda _: True) if not settings.is_live else gateway.origins.is_allowed
    straight = StraightWay(parts, {("POST", "/payment"): pay, ("POST", "/tokenize"): make_token})
    pages = Pages(PUBLIC_PAGES if health is None else health.pages(), straight)
    return _wrap(pages, gateway, is_allowed)


def _wrap(pages: Application, gateway: Gateway, is_allowed: Callable[[str], bool]) -> Application:
    """Give every request and every response what all of them have, whatever is asked for."""
    settings = gateway.settings
    screened = Cors(Screened(Stoppable(pages)), is_allowed)
    completed = Completed(screened, is_secure=settings.public_url.startswith("https:"))
    return Envelope(completed, gateway.metrics, logs_requests=settings.log_requests is not False)


def _build_app(handlers: Sequence[ControllerRouterHandler]) -> Litestar:
    return Litestar(
        route_handlers=handlers,
        openapi_config=None,
        logging_config=None,
        exception_handlers={Refusal: answer_refusal, HTTPException: answer_http_exception, Exception: answer_defect},
    )


def _build_directory_access(gateway: Gateway) -> DirectoryAccess:
    return DirectoryAccess(
        secret=gateway.settings.directory_key,
        fingerprints=gateway.settings.directory_certificates,
        comes_from_proxy=gateway.gate.comes_from_proxy,
    )


def _open_portal(gateway: Gateway) -> Portal:
    settings = gateway.settings
    is_secure = settings.public_url.startswith("https:")
    return Portal(
        gateway.database,
        PasswordGate(),
        browser_key=gateway.vault.keys.derive("portal browser"),
        address_of=gateway.gate.address_of,
        is_secure=is_secure,
        is_live=settings.is_live,
    )


def _open_till(gateway: Gateway) -> PaymentPageDependencies:
    is_live = gateway.settings.is_live
    return PaymentPageDependencies(
        gateway.tools,
        address_of=gateway.gate.address_of,
        is_stage=not is_live,
        today=lambda: datetime.now(UTC) if is_live else None,
    )


def _stage_handlers(gateway: Gateway, others_learn_seconds: float) -> list[ControllerRouterHandler]:
    return build_stage_handlers(
        gateway.settings,
        gateway.tools,
        gateway.gate,
        transport=gateway.transport,
        secrets=gateway.secrets,
        desk=gateway.desk,
        clockwork=build_clockwork(
            gateway.tools, gateway.biller, gateway.secrets, gateway.wake, others_learn_seconds=others_learn_seconds
        ),
    )


def _validation_context(settings: Settings) -> dict[str, Any]:
    """Tell the request models what the environment asks of them."""
    if not settings.is_live:
        return {}
    return {"is_live": True, "address_policy": settings.address_policy, "refuse_expired_before": datetime.now(UTC)}
