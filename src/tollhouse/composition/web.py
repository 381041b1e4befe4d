"""The web application: API, checkout, portal and, in stage, test pages and the simulator.

Only processes with a port import this module.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any

from tollhouse.api.callbacks import CallbackCalls
from tollhouse.api.chargeback import ChargebackCalls
from tollhouse.api.codes import CodeCalls
from tollhouse.api.consumer import ConsumerCalls
from tollhouse.api.document.document import DocumentPages
from tollhouse.api.feed import FeedCalls
from tollhouse.api.legacy import LegacyCalls
from tollhouse.api.payment.operations import OperationCalls
from tollhouse.api.payment.payment import PaymentCalls
from tollhouse.api.payment.timeline import TimelineCalls
from tollhouse.api.payment_account import AccountCalls
from tollhouse.api.payment_page.payment_page import PaymentPageCalls
from tollhouse.api.phones import PhoneCalls
from tollhouse.api.rates import RateCalls
from tollhouse.api.site import SiteCalls
from tollhouse.api.sku import SkuCalls
from tollhouse.api.subscription.charges import ChargeCalls
from tollhouse.api.subscription.payment_account import SubscriptionAccountCalls
from tollhouse.api.subscription.subscription import SubscriptionCalls
from tollhouse.api.tokenize import TokenizeCalls
from tollhouse.api.tokenize_limits import TokenizeLimits
from tollhouse.checkout.handlers import CheckoutPages
from tollhouse.checkout.pay_handlers import PaymentPageDependencies, PaymentPages
from tollhouse.checkout.results import DirectoryAccess, ResultCalls
from tollhouse.composition.app import Gateway
from tollhouse.composition.choices import choose_rates
from tollhouse.composition.settings import Settings
from tollhouse.composition.staging import build_clockwork, list_stage_calls, list_stage_pages
from tollhouse.http.application import WebApplication
from tollhouse.http.routes import Route
from tollhouse.http.serving.health import Health, list_public_routes
from tollhouse.http.shared_files import list_shared_routes
from tollhouse.merchants.passwords import PasswordVerifier
from tollhouse.portal.handlers import Portal
from tollhouse.simulator.app import BankPages
from tollhouse.simulator.host import Simulator


def build_web(
    gateway: Gateway,
    simulator: Simulator | None = None,
    *,
    others_learn_seconds: float = 0.0,
    health: Health | None = None,
) -> WebApplication:
    """Build the web application: API, checkout, portal and, in stage, test pages and the simulator.

    `others_learn_seconds` is the time in which other processes read an advanced clock; 0 if there are none. Without
    `health` only `/healthz` is served, because the port is public.
    """
    settings = gateway.settings
    calls = list_calls(gateway, others_learn_seconds)
    documents = DocumentPages(calls, settings.public_url, is_live=settings.is_live)
    routes = [
        *calls,
        *documents.routes(),
        *list_shared_routes(),
        *_list_pages(gateway, simulator),
        *(list_public_routes() if health is None else health.routes()),
    ]
    return WebApplication(
        routes,
        metrics=gateway.metrics,
        logs_requests=settings.log_requests is not False,
        is_secure=settings.public_url.startswith("https:"),
        is_origin_allowed=gateway.origins.is_allowed if settings.is_live else _allow_every_origin,
    )


def list_calls(gateway: Gateway, others_learn_seconds: float = 0.0) -> list[Route]:
    """Return the routes of the API."""
    settings, parts, authenticator, billing = gateway.settings, gateway.parts, gateway.authenticator, gateway.billing
    readers, digest = gateway.pools.readers, gateway.vault.digest
    context = partial(_validation_context, settings)
    limits = TokenizeLimits(choose_rates(settings))
    calls = (
        PaymentCalls(parts.lookups, parts.charging, authenticator, context),
        OperationCalls(parts.voiding, digest, authenticator, context),
        PaymentPageCalls(parts.links, authenticator, context),
        SubscriptionCalls(billing, authenticator),
        SubscriptionAccountCalls(billing, authenticator, context),
        ChargeCalls(billing, authenticator),
        ChargebackCalls(parts.links, authenticator),
        TokenizeCalls(gateway.tokens, gateway.database, authenticator, limits, context),
        SiteCalls(parts.catalog, parts.database, digest, authenticator, context),
        SkuCalls(parts.catalog, parts.database, digest, authenticator),
        ConsumerCalls(parts.database, parts.vault, authenticator),
        AccountCalls(parts.database, authenticator),
        RateCalls(parts.rates, authenticator, settings.egress),
        PhoneCalls(gateway.phones, authenticator, gateway.vault.digest),
        CallbackCalls(parts.database, readers, digest, authenticator, context, answer_seconds=parts.timeouts.answer),
        CodeCalls(),
        FeedCalls(readers, authenticator),
        LegacyCalls(parts.lookups, authenticator),
        TimelineCalls(readers, authenticator),
    )
    routes = [route for call in calls for route in call.routes()]
    return routes if settings.is_live else routes + _list_stage_calls(gateway, others_learn_seconds)


def _list_pages(gateway: Gateway, simulator: Simulator | None) -> list[Route]:
    """Return the routes of pages, and of the Directory Server's calls."""
    routes = [
        *CheckoutPages(gateway.parts.authentication, address_of=gateway.authenticator.address_of).routes(),
        *ResultCalls(gateway.parts.authentication, _build_directory_access(gateway)).routes(),
        *PaymentPages(_build_page_dependencies(gateway)).routes(),
        *_open_portal(gateway.for_readers()).routes(),
    ]
    if not gateway.settings.is_live:
        routes += list_stage_pages(gateway.settings, gateway.parts, secrets=gateway.secrets, phones=gateway.phones)
    if simulator is not None:
        routes += BankPages(simulator, path="/simulator").routes()
    return routes


def _allow_every_origin(_: str) -> bool:
    return True


def _build_directory_access(gateway: Gateway) -> DirectoryAccess:
    return DirectoryAccess(
        secret=gateway.settings.directory_key,
        fingerprints=gateway.settings.directory_certificates,
        comes_from_proxy=gateway.authenticator.comes_from_proxy,
    )


def _open_portal(gateway: Gateway) -> Portal:
    settings = gateway.settings
    is_secure = settings.public_url.startswith("https:")
    return Portal(
        gateway.database,
        PasswordVerifier(),
        browser_key=gateway.vault.keys.derive("portal browser"),
        address_of=gateway.authenticator.address_of,
        is_secure=is_secure,
        is_live=settings.is_live,
    )


def _build_page_dependencies(gateway: Gateway) -> PaymentPageDependencies:
    return PaymentPageDependencies(
        gateway.parts.links, address_of=gateway.authenticator.address_of, is_stage=not gateway.settings.is_live
    )


def _list_stage_calls(gateway: Gateway, others_learn_seconds: float) -> list[Route]:
    return list_stage_calls(
        gateway.parts,
        gateway.authenticator,
        transport=gateway.transport,
        clockwork=build_clockwork(
            gateway.parts, gateway.billing, gateway.secrets, gateway.wake, others_learn_seconds=others_learn_seconds
        ),
    )


def _validation_context(settings: Settings) -> dict[str, Any]:
    """Return the settings that validation of requests depends on."""
    if not settings.is_live:
        return {}
    return {"is_live": True, "address_policy": settings.address_policy, "refuse_expired_before": datetime.now(UTC)}
