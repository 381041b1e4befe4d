"""`POST /site`, `GET /site/{id}` and `PUT /site/{id}`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field, field_validator

from tollhouse.api.fields.values import ReturnUrl, Url
from tollhouse.api.reading.access import RequestAuthenticator
from tollhouse.api.reading.body import Body
from tollhouse.api.reading.ids import read_id
from tollhouse.api.reading.requests import read_creation, read_request
from tollhouse.billing.dunning import read_policy
from tollhouse.catalog.access import Catalog
from tollhouse.catalog.model import ExtraEvent, IpnFormat, SiteChange, SiteEntry, ThreeDsRule
from tollhouse.catalog.names import is_public_suffix
from tollhouse.catalog.sites import create_site
from tollhouse.catalog.store import select_site_entry, update_site
from tollhouse.http.requests import Purpose, Request
from tollhouse.http.responses import Response, build_http_response
from tollhouse.http.routes import Calls, call
from tollhouse.idempotency.create import create_once
from tollhouse.kernel.errors import NotFound
from tollhouse.storage.database import Database
from tollhouse.wire.render import render, render_date
from tollhouse.wire.resources import OWN, SiteAnswer

MISSING = "Site not found."
#: Maximum length of a host name (RFC 1035, 2.3.4).
MAX_HOST_LENGTH = 253
HOST_FORM = re.compile(r"([a-z0-9]+(-[a-z0-9]+)*\.)+[a-z]{2,}")
COLOR_FORM = "^#?([0-9A-Fa-f]{3}){1,2}$"
#: Maximum length of a logo in base64: an image of about 30 KB.
MAX_LOGO_LENGTH = 40_000

MAX_EXTRA_EVENTS = 10

ExternalId = Annotated[str, Field(min_length=3, max_length=64)]
Color = Annotated[str, Field(pattern=COLOR_FORM, examples=["#ffcc00"])]

#: Texts stored with a site, by their names on the wire.
EXTRAS = frozenset(SiteAnswer.model_fields) & {
    "trackingCode", "rebillRetryPolicy", "memberExpirationDatePadding", "declineUrl", "bgBodyColor", "linkColor",
    "textColor", "bgColor1", "bgColor2", "bgColor3", "textColor1", "textColor2", "textColor3", "logoBase64",
}  # fmt: skip
#: The other fields with their names in the catalog.
SETTINGS = {
    "name": "name",
    "externalId": "external_id",
    "ipnUrl": "ipn_url",
    "redirectUrl": "redirect_url",
    "descriptor": "descriptor",
    "status": "is_enabled",
    "corsEnabled": "cors_enabled",
    "autoRedirect": "auto_redirect",
    "delayedCapture": "delayed_capture",
    "guardsDoubleClicks": "guards_double_clicks",
    "proceedWithout3ds": "proceed_without_3ds",
    "threeDs": "three_ds",
    "ipnFormat": "ipn_format",
    "subscriptionEvents": "subscription_events",
    "extraEvents": "extra_events",
}


class SiteChangeRequest(Body):
    """Changes of a site; absent, null and empty fields are unchanged."""

    name: str | None = Field(
        None, max_length=MAX_HOST_LENGTH, description="A host name in lower case.", examples=["shop.example.com"]
    )
    externalId: ExternalId | None = Field(None, description="Your own ID.")
    ipnUrl: Url | None = Field(None, description="The URL of callbacks, unless the payment has one.")
    redirectUrl: ReturnUrl | None = Field(
        None, description="The URL to which cardholders return, unless the payment has one."
    )
    descriptor: str | None = Field(
        None, max_length=25, pattern="^[ -~]+$", description="The text on the cardholder's statement: plain letters."
    )
    status: bool | None = Field(None, description="Whether it accepts payments.")
    corsEnabled: bool | None = Field(None, description="Whether scripts of its pages may tokenize.")
    autoRedirect: bool | None = Field(None, description=OWN)
    delayedCapture: bool | None = Field(
        None, description="Whether a single price due within days is authorized now and captured then."
    )
    guardsDoubleClicks: bool | None = Field(
        None, description="Whether the second of two equal payments at the same time gets the first one's response."
    )
    proceedWithout3ds: bool | None = Field(
        None, description="Whether a payment continues if authentication could not be performed."
    )
    threeDs: ThreeDsRule | None = Field(None, description="When cardholders are authenticated.")
    ipnFormat: IpnFormat | None = Field(
        None, description="The form of its callbacks; `plugin` is for the WooCommerce plugin, `none` sends nothing."
    )
    subscriptionEvents: bool | None = Field(
        None, description="Whether callbacks are sent if a subscription ends, will end, or is recovered."
    )
    extraEvents: list[ExtraEvent] | None = Field(
        None, max_length=MAX_EXTRA_EVENTS, description="Optional events to send."
    )
    trackingCode: str | None = Field(None, max_length=255, description=OWN)
    rebillRetryPolicy: str | None = Field(
        None,
        max_length=255,
        description="Days of retries of a failed renewal: `default`, `disabled`, or up to 10 days after the due time.",
        examples=["1,3,5,7"],
    )
    memberExpirationDatePadding: str | None = Field(None, max_length=255, description=OWN)
    declineUrl: ReturnUrl | None = Field(None, description=OWN)
    bgBodyColor: Color | None = Field(None, description=OWN)
    linkColor: Color | None = Field(None, description=OWN)
    textColor: Color | None = Field(None, description=OWN)
    bgColor1: Color | None = Field(None, description=OWN)
    bgColor2: Color | None = Field(None, description=OWN)
    bgColor3: Color | None = Field(None, description=OWN)
    textColor1: Color | None = Field(None, description=OWN)
    textColor2: Color | None = Field(None, description=OWN)
    textColor3: Color | None = Field(None, description=OWN)
    logoBase64: str | None = Field(
        None, max_length=MAX_LOGO_LENGTH, pattern="^[A-Za-z0-9+/]+={0,2}$", description="An image in base64. " + OWN
    )

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str | None) -> str | None:
        if name is not None and not HOST_FORM.fullmatch(name):
            raise ValueError("must be a host name in lower case with a dot in it, such as shop.example.com")
        if name is not None and is_public_suffix(name):
            raise ValueError("must be your own domain, not a public suffix")
        return name

    @field_validator("rebillRetryPolicy")
    @classmethod
    def _check_policy(cls, text: str | None) -> str | None:
        if text is not None:
            read_policy(text)
        return text

    def to_change(self) -> SiteChange:
        """Return the given fields in the terms of the catalog."""
        given = self.model_dump(exclude_none=True)
        settings = {ours: given[name] for name, ours in SETTINGS.items() if name in given}
        return SiteChange(**settings, extras={name: given[name] for name in EXTRAS if name in given})


class SiteRequest(SiteChangeRequest):
    """A site to create."""

    # These three are required here, which only narrows the accepted values.
    name: str = Field(
        max_length=MAX_HOST_LENGTH, description="A host name in lower case.", examples=["shop.example.com"]
    )  # type: ignore[mutable-override]
    externalId: ExternalId = Field(description="Your own ID.", examples=["shop-1"])  # type: ignore[mutable-override]
    ipnUrl: Url = Field(description="The URL of callbacks, unless the payment has one.")  # type: ignore[mutable-override]


class SiteCalls(Calls):
    """Sites: create, get and update."""

    def __init__(
        self,
        catalog: Catalog,
        database: Database,
        digest: Callable[[bytes], bytes],
        authenticator: RequestAuthenticator,
        context: Callable[[], dict[str, Any]],
    ) -> None:
        self._catalog = catalog
        self._database = database
        self._digest = digest
        self._authenticator = authenticator
        self._context = context

    @call("POST /site", "Create a site", Purpose.SETS_UP, SiteRequest, SiteAnswer, takes_request_id=True)
    async def post_site(self, request: Request) -> Response:
        """Create a site, with a SKU named `TECH_` and its ID, which has no price."""
        valid = await read_creation(
            self._authenticator, request, SiteRequest, operation="site", digest=self._digest, context=self._context()
        )
        merchant_id, change = valid.merchant.merchant_id, valid.body.to_change()
        rendered = await create_once(
            self._database, valid.claim, create_site, show_site, merchant_id=merchant_id, change=change
        )
        return build_http_response(rendered)

    @call("GET /site/{siteId}", "Get a site", answer=SiteAnswer)
    async def get_site(self, request: Request) -> Response:
        """Return a site."""
        merchant = await self._authenticator.access(request)
        async with self._database.acquire() as connection:
            entry = await select_site_entry(
                connection,
                merchant_id=merchant.merchant_id,
                site_id=read_id(request.path_parameters["siteId"], MISSING),
            )
        return _render(entry)

    @call("PUT /site/{siteId}", "Update a site", Purpose.SETS_UP, SiteChangeRequest, SiteAnswer)
    async def put_site(self, request: Request) -> Response:
        """Update the fields that are sent. Payments use them at once, on other nodes within 5 seconds."""
        valid = await read_request(self._authenticator, request, SiteChangeRequest, context=self._context())
        key = {
            "merchant_id": valid.merchant.merchant_id,
            "site_id": read_id(request.path_parameters["siteId"], MISSING),
        }
        change = valid.body.to_change()
        async with self._database.acquire() as connection:
            if change == SiteChange():
                return _render(await select_site_entry(connection, **key))
            entry = await update_site(connection, **key, change=change)
        self._catalog.forget_site(**key)
        return _render(entry)


def _render(entry: SiteEntry | None) -> Response:
    if entry is None:
        raise NotFound(MISSING)
    return Response(show_site(entry))


def show_site(entry: SiteEntry) -> bytes:
    """Render a site for its merchant."""
    site = entry.site
    return render(
        SiteAnswer(
            id=str(site.site_id),
            name=site.name,
            externalId=entry.external_id,
            ipnUrl=site.ipn_url,
            redirectUrl=site.redirect_url,
            createdAt=render_date(entry.created_at),
            updatedAt=render_date(entry.updated_at),
            status=site.is_enabled,
            corsEnabled=site.cors_enabled,
            autoRedirect=entry.auto_redirect,
            descriptor=site.descriptor,
            delayedCapture=site.delayed_capture,
            guardsDoubleClicks=site.guards_double_clicks,
            proceedWithout3ds=site.proceed_without_3ds,
            threeDs=site.three_ds,
            ipnFormat=site.ipn_format,
            subscriptionEvents=entry.subscription_events,
            extraEvents=list(entry.extra_events),
            **{name: text for name, text in entry.extras.items() if name in EXTRAS},
        )
    )
