"""What the gateway knows of a cardholder's browser and of one authentication. Frozen; no rules."""

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

#: The element of an RReq that says how a challenge was stopped, and its value if the cardholder did
#: (EMV 3DS core specification 2.2.0, table A.1: challengeCancel).
CHALLENGE_CANCEL, BY_CARDHOLDER = "challengeCancel", "01"

#: The depths that EMV 3DS knows (core specification 2.2.0, table A.1: browserColorDepth).
COLOR_DEPTHS = (1, 4, 8, 15, 16, 24, 32, 48)
MAX_LANGUAGE_LENGTH = 8
MAX_HEADER_LENGTH = 2048
#: No zone is further from UTC, in minutes; and in hours no number is as large as the smallest offset in minutes.
FURTHEST_ZONE_MINUTES = 14 * 60
FURTHEST_ZONE_HOURS = 14


class TransStatus(StrEnum):
    """`transStatus` of EMV 3DS: how an authentication went, or how it goes on."""

    AUTHENTICATED = "Y"
    ATTEMPTED = "A"
    DENIED = "N"
    UNAVAILABLE = "U"
    REJECTED = "R"
    CHALLENGE = "C"
    DECOUPLED = "D"
    INFORMATIONAL = "I"


class State(StrEnum):
    """Where an authentication stands. The transitions are in `threeds.lifecycle`."""

    #: The cardholder's browser has not been seen, or not told what it is.
    COLLECTING = "collecting"
    #: The AReq is on its way.
    REQUESTED = "requested"
    #: The issuer asks the cardholder; the RReq will tell.
    CHALLENGED = "challenged"
    #: The access control server gave up before the first CReq: who opens the page begins anew.
    LAPSED = "lapsed"
    #: The payment goes on, with a proof or without one.
    PASSED = "passed"
    FAILED = "failed"
    #: Nobody came, or nobody answered in time.
    ABANDONED = "abandoned"
    #: A newer authentication of the same transaction has taken its place.
    SUPERSEDED = "superseded"

    @property
    def is_decided(self) -> bool:
        """Whether the payment's end, or its way on, is known."""
        return self in {State.PASSED, State.FAILED, State.ABANDONED}


@dataclass(frozen=True, slots=True)
class BrowserData:
    """What the issuer wants to know of a browser. Of one that runs no script only the headers are known.

    `timezone_minutes` is what `Date.getTimezoneOffset()` says: how far UTC is ahead.
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
        """Read what a shop's server says of its customer's browser; None when not all is there.

        Tolerates what shops send: numbers as texts, the zone in hours with a fraction or in minutes, empty texts.
        """
        if not consumer.get("userAgent"):  # most shops say nothing of the browser
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
        """Read what our own page collected; without a script there is only what every request says.

        An `ip` that is no address is left empty, and not told.
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
    """What the Directory says of the cards between two numbers, both included.

    `version` is the newest that both sides speak, or our newest where there is none: the Directory says what it thinks.
    """

    first: int
    last: int
    version: str
    method_url: str | None


@dataclass(frozen=True, slots=True)
class Requestor:
    """Who asks, as the Directory knows us."""

    requestor_id: str = "TOLLHOUSE"
    name: str = "Tollhouse"
    reference_number: str = "TOLLHOUSE_3DS_SERVER"
    acquirer_bin: str = "400000"
    acquirer_merchant_id: str = "TOLLHOUSE"
    merchant_category: str = "5815"
    merchant_country: str = "840"


@dataclass(frozen=True, slots=True)
class Question:
    """What an AReq asks. `takes_method` is None where the card range has no 3DS Method."""

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
class Answer:
    """What an ARes says. Without one there are no ids, the status is `UNAVAILABLE` and `reason` says why."""

    status: TransStatus
    reason: str | None = None
    acs_trans_id: UUID | None = None
    ds_trans_id: UUID | None = None
    acs_url: str | None = None
    eci: str | None = None
    cavv: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What an RReq says: the end of a challenge."""

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
    """One row of the table of authentications; storage/schema/threeds.sql describes each column.

    `status_reason` ends with `challengeCancel` and its value if the challenge was stopped.
    """

    merchant_id: int
    authentication_id: UUID
    series_id: UUID
    payment_id: int
    transaction_id: int
    attempt_number: int
    number: int
    state: State
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
        """Whether the cardholder confirms elsewhere, in the bank's app."""
        return self.state is State.CHALLENGED and self.acs_url is None


def _read_text(value: Any) -> str:
    """Return a text without what cannot be printed, and so neither stored as JSON nor sent; card numbers are masked."""
    text = value if isinstance(value, str) else ""
    return mask_card_numbers("".join(filter(str.isprintable, text)).strip())[:MAX_HEADER_LENGTH]


def _read_address(text: str) -> str:
    """Return an IP address without the zone of a link-local one, or nothing."""
    try:
        return str(parse_address(text))
    except ValueError:
        return ""


def _read_language(value: Any) -> str | None:
    """Shorten a language tag to what fits: `zh-Hans-CN` becomes `zh-Hans`."""
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
    """Read an offset in hours (`-5.5`) or, where it is too large for that, in minutes (`-330`)."""
    number = _read_decimal(value)
    if number is None:
        return None
    minutes = int(number * 60 if abs(number) <= FURTHEST_ZONE_HOURS else number)
    return minutes if abs(minutes) <= FURTHEST_ZONE_MINUTES else None


def _choose_depth(depth: int) -> int:
    """Return the greatest depth that EMV 3DS knows and the screen has."""
    return max((known for known in COLOR_DEPTHS if known <= depth), default=1)
