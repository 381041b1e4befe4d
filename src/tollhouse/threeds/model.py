"""Records of the cardholder's browser and of an authentication."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from tollhouse.kernel.addresses import parse_address
from tollhouse.kernel.card import Card
from tollhouse.kernel.card_search import mask_card_numbers
from tollhouse.kernel.money import Money

#: The element of an RReq with the reason why a challenge was stopped, and its value if the cardholder stopped it (EMV
#: 3DS core specification 2.2.0, table A.1: challengeCancel).
CHALLENGE_CANCEL, BY_CARDHOLDER = "challengeCancel", "01"

#: The depths that EMV 3DS defines (core specification 2.2.0, table A.1: browserColorDepth).
COLOR_DEPTHS = (1, 4, 8, 15, 16, 24, 32, 48)
MAX_LANGUAGE_LENGTH = 8
MAX_HEADER_LENGTH = 2048
#: The largest offset from UTC in minutes. Larger than any offset in hours, so that the unit can be recognized.
FURTHEST_ZONE_MINUTES = 14 * 60
FURTHEST_ZONE_HOURS = 14


class TransStatus(StrEnum):
    """`transStatus` of EMV 3DS: the result of an authentication, or its next step."""

    AUTHENTICATED = "Y"
    ATTEMPTED = "A"
    DENIED = "N"
    UNAVAILABLE = "U"
    REJECTED = "R"
    CHALLENGE = "C"
    DECOUPLED = "D"
    INFORMATIONAL = "I"


class AuthenticationState(StrEnum):
    """The state of an authentication. `threeds.lifecycle` has the transitions."""

    #: The browser has not opened the page, or has not sent its data.
    COLLECTING = "collecting"
    #: The AReq is being sent.
    REQUESTED = "requested"
    #: The issuer challenges the cardholder; an RReq will follow.
    CHALLENGED = "challenged"
    #: The ACS gave up before the first CReq. Opening the page starts again.
    LAPSED = "lapsed"
    #: The payment continues, with or without an authentication value.
    PASSED = "passed"
    FAILED = "failed"
    #: The cardholder did not come, or did not respond in time.
    ABANDONED = "abandoned"
    #: A newer authentication of the same transaction has replaced it.
    SUPERSEDED = "superseded"

    @property
    def is_decided(self) -> bool:
        """Whether the payment's outcome or next step is known."""
        return self in {AuthenticationState.PASSED, AuthenticationState.FAILED, AuthenticationState.ABANDONED}


@dataclass(frozen=True, slots=True)
class BrowserData:
    """The browser data that the issuer requests. For a browser without scripts only the headers are known.

    `timezone_minutes` is the value of `Date.getTimezoneOffset()`: the offset of UTC from local time.
    """

    accept_header: str
    user_agent: str
    language: str
    ip: str
    javascript_enabled: bool
    java_enabled: bool | None = None
    color_depth: int | None = None
    screen_height: int | None = None
    screen_width: int | None = None
    timezone_minutes: int | None = None

    @classmethod
    def from_consumer(cls, consumer: Mapping[str, Any]) -> Self | None:
        """Parse browser data from a shop's server. Return None if it is incomplete.

        Accepts the variants that shops send: numbers as texts, the zone in hours with a fraction or in minutes, empty
        texts.
        """
        if not consumer.get("userAgent"):  # most shops send no browser data
            return None
        texts = {name: _read_text(consumer.get(name)) for name in ("browserAcceptHeader", "userAgent", "ip")}
        language = _read_language(consumer.get("browserLanguage"))
        java = _read_switch(consumer.get("browserJavaEnabled"))
        depth = _read_number(consumer.get("browserColorDepth"), largest=256)
        height = _read_number(consumer.get("browserScreenHeight"), largest=999_999)
        width = _read_number(consumer.get("browserScreenWidth"), largest=999_999)
        zone = _read_zone(consumer.get("browserTimezone"))
        if not all(texts.values()) or None in (language, java, depth, height, width, zone):
            return None
        return cls(
            accept_header=texts["browserAcceptHeader"],
            user_agent=texts["userAgent"],
            language=language or "",
            ip=texts["ip"],
            javascript_enabled=True,
            java_enabled=java,
            color_depth=_choose_depth(depth or 0),
            screen_height=height,
            screen_width=width,
            timezone_minutes=zone,
        )

    @classmethod
    def from_page(cls, form: Mapping[str, str], headers: Mapping[str, str], *, ip: str) -> Self:
        """Parse the data collected by our own page. Without a script there are only the request's headers.

        An `ip` that is not an address is left empty and not sent.
        """
        accept_header = _read_text(headers.get("accept")) or "*/*"
        user_agent = _read_text(headers.get("user-agent")) or "unknown"
        said = {"browserAcceptHeader": accept_header, "userAgent": user_agent, "ip": "said by the connection"}
        told = cls.from_consumer({**form, **said})
        if told is not None:
            return replace(told, ip=_read_address(ip))
        accepted = headers.get("accept-language", "").partition(",")[0].partition(";")[0]
        return cls(
            accept_header=accept_header,
            user_agent=user_agent,
            language=_read_language(form.get("browserLanguage")) or _read_language(accepted) or "en",
            ip=_read_address(ip),
            javascript_enabled=False,
        )


@dataclass(frozen=True, slots=True)
class CardRange:
    """The Directory Server's data for the cards between two numbers, both included.

    `version` is the newest that both sides support, or without one our newest: the Directory Server then responds
    accordingly.
    """

    first: int
    last: int
    version: str
    method_url: str | None


@dataclass(frozen=True, slots=True)
class Requestor:
    """The requestor, as it is registered at the Directory Server."""

    requestor_id: str = "TOLLHOUSE"
    name: str = "Tollhouse"
    reference_number: str = "TOLLHOUSE_3DS_SERVER"
    acquirer_bin: str = "400000"
    acquirer_merchant_id: str = "TOLLHOUSE"
    merchant_category: str = "5815"
    merchant_country: str = "840"


@dataclass(frozen=True, slots=True)
class AuthenticationRequest:
    """The content of an AReq. `takes_method` is None if the card range has no 3DS Method."""

    three_ds_server_trans_id: UUID
    version: str
    card: Card
    money: Money
    merchant_name: str
    browser: BrowserData
    asked_at: datetime
    website: str
    notification_url: str
    results_url: str
    method_completed: bool | None
    challenge_indicator: str
    decoupled_minutes: int
    #: An instant of `kernel.clock.boot_seconds` past which the AReq does not leave. By default it may not be sent.
    send_before: float = 0.0


@dataclass(frozen=True, slots=True)
class AuthenticationResponse:
    """The content of an ARes.

    Without an ARes there are no IDs, the status is `UNAVAILABLE` and `reason` is the cause.
    """

    status: TransStatus
    reason: str | None = None
    acs_trans_id: UUID | None = None
    ds_trans_id: UUID | None = None
    acs_url: str | None = None
    eci: str | None = None
    cavv: str | None = None


@dataclass(frozen=True, slots=True)
class ChallengeResult:
    """The content of an RReq: the end of a challenge."""

    version: str
    three_ds_server_trans_id: UUID
    acs_trans_id: UUID
    ds_trans_id: UUID
    status: TransStatus
    reason: str | None
    eci: str | None
    cavv: str | None
    challenge_cancel: str | None


@dataclass(frozen=True, slots=True)
class Authentication:
    """A row of the table of authentications; storage/schema/threeds.sql describes each column.

    `status_reason` ends with `challengeCancel` and its value if the challenge was stopped.
    """

    merchant_id: int
    authentication_id: UUID
    series_id: UUID
    payment_id: int
    transaction_id: int
    attempt_number: int
    number: int
    state: AuthenticationState
    page_digest: bytes
    return_digest: bytes
    three_ds_server_trans_id: UUID
    version: str
    method_url: str | None
    challenge_indicator: str
    created_at: datetime
    expires_at: datetime
    due_at: datetime | None
    method_completed_at: datetime | None = None
    browser: BrowserData | None = None
    requested_at: datetime | None = None
    acs_trans_id: UUID | None = None
    ds_trans_id: UUID | None = None
    acs_url: str | None = None
    trans_status: str | None = None
    status_reason: str | None = None
    eci: str | None = None
    cavv: str | None = None
    answered_at: datetime | None = None
    opened_at: datetime | None = None
    result_at: datetime | None = None
    waiting_since: datetime | None = None

    @property
    def is_canceled(self) -> bool:
        """Whether the cardholder stopped the challenge."""
        return (self.status_reason or "").endswith(f"{CHALLENGE_CANCEL} {BY_CARDHOLDER}")

    @property
    def is_decoupled(self) -> bool:
        """Whether the cardholder confirms in the bank's app instead of the browser."""
        return self.state is AuthenticationState.CHALLENGED and self.acs_url is None


def _read_text(value: Any) -> str:
    """Return a text without unprintable characters, which can neither be stored as JSON nor sent.

    Card numbers are masked.
    """
    text = value if isinstance(value, str) else ""
    return mask_card_numbers("".join(filter(str.isprintable, text)).strip())[:MAX_HEADER_LENGTH]


def _read_address(text: str) -> str:
    """Return an IP address without the zone of a link-local one, or an empty text."""
    try:
        return str(parse_address(text))
    except ValueError:
        return ""


def _read_language(value: Any) -> str | None:
    """Shorten a language tag to the allowed length: `zh-Hans-CN` becomes `zh-Hans`."""
    parts = _read_text(value).split("-")
    while len("-".join(parts)) > MAX_LANGUAGE_LENGTH and len(parts) > 1:
        parts.pop()
    tag = "-".join(parts)
    return tag if tag and len(tag) <= MAX_LANGUAGE_LENGTH and tag.isascii() and tag.replace("-", "").isalnum() else None


def _read_switch(value: Any) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "1": True, "false": False, "0": False}.get(value.strip().lower())
    return bool(value) if isinstance(value, bool | int) else None


def _read_decimal(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _read_number(value: Any, *, largest: int) -> int | None:
    number = _read_decimal(value)
    return int(number) if number is not None and 0 < number <= largest else None


def _read_zone(value: Any) -> int | None:
    """Parse an offset in hours (`-5.5`) or, if it is too large for hours, in minutes (`-330`)."""
    number = _read_decimal(value)
    if number is None:
        return None
    minutes = int(number * 60 if abs(number) <= FURTHEST_ZONE_HOURS else number)
    return minutes if abs(minutes) <= FURTHEST_ZONE_MINUTES else None


def _choose_depth(depth: int) -> int:
    """Return the greatest depth that EMV 3DS defines and the screen has."""
    return max((known for known in COLOR_DEPTHS if known <= depth), default=1)
