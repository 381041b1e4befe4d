"""Rendering of the payment page and its final pages, each with its content security policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tollhouse.checkout.card_form import MAX_HOLDER_LENGTH
from tollhouse.checkout.page_style import build_style, build_style_source, read_logo
from tollhouse.checkout.pages import REFRESH_INTERVAL_SECONDS, HtmlPage, environment
from tollhouse.checkout.pay_view import build_summary, describe_failure
from tollhouse.checkout.words import Words
from tollhouse.links.model import Link, LinkState
from tollhouse.payments.charge.wallet import WalletCard

#: Appearance of a page with one message. A `busy` page loads again by itself.
Tone = Literal["busy", "good", "late", "bad"]

#: Name of the form for a new card.
NEW_CARD = "new"


@dataclass(frozen=True, slots=True)
class FormContent:
    """Content of the form page.

    `faults` are keys of texts by field, `chosen` names the submitted form, and `kept` has its values that may be shown.
    """

    path: str
    number: int
    proof: str
    cards: Sequence[WalletCard] = ()
    faults: Mapping[str, str] = field(default_factory=dict)
    chosen: str = ""
    kept: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Frame:
    """Parts that all pages of a link share. `is_canceled`: the consumer canceled the last challenge."""

    words: Words
    is_stage: bool
    link: Link | None = None
    shop_url: str | None = None
    is_canceled: bool = False


def render_form(frame: Frame, link: Link, form: FormContent) -> HtmlPage:
    """Render the card form. No page contains a typed card number or security code."""
    words, consumer = frame.words, link.terms.consumer
    summary = build_summary(link, words)
    names = (str(consumer.get(name, "")) for name in ("firstName", "lastName"))
    return _render(
        "pay.html",
        frame,
        scripted=True,
        form_action="'self'",
        path=form.path,
        number=form.number,
        proof=form.proof,
        cards=[_show_card(card) for card in form.cards],
        faults=form.faults,
        chosen=form.chosen,
        faulty=[words.say(name) for name in form.faults if name != "account"],
        failure=None if form.faults else describe_failure(link.last, words, is_canceled=frame.is_canceled),
        summary=summary,
        has_later=any(line.note for line in summary.lines),
        values={
            "holder": " ".join(filter(None, names))[:MAX_HOLDER_LENGTH],
            "zip": consumer.get("zip", ""),
            **form.kept,
        },
        shop_url=frame.shop_url,
    )


def render_end(frame: Frame, key: str, tone: Tone, *, url: str | None = None, to_page: bool = False) -> HtmlPage:
    """Render a page with one message. `key` is the prefix of its text keys; `url` is the target of its link."""
    words, link = frame.words, frame.link
    filled = _fill(link, words)
    is_spent = link is not None and link.state is LinkState.SPENT
    failure = describe_failure(link.last, words, is_canceled=frame.is_canceled) if link and is_spent else None
    return _render(
        "pay_end.html",
        frame,
        heading=words.say(f"{key}_title"),
        text=words.say(f"{key}_text", **filled),
        tone=tone,
        summary=build_summary(link, words) if link else None,
        failure=failure,
        link_url=url or frame.shop_url,
        link_text=words.say("back_to_page" if to_page else "back_to_shop"),
        refresh_seconds=None,
        refresh_path=None,
    )


def render_busy(frame: Frame, *, path: str, seconds: int = REFRESH_INTERVAL_SECONDS) -> HtmlPage:
    """Render a waiting page that loads a path by itself."""
    words = frame.words
    return _render(
        "pay_end.html",
        frame,
        heading=words.say("busy_title"),
        text=words.say("busy_text"),
        tone="busy",
        summary=build_summary(frame.link, words) if frame.link else None,
        failure=None,
        link_url=path,
        link_text=words.say("check_again"),
        refresh_seconds=seconds,
        refresh_path=path,
    )


def _fill(link: Link | None, words: Words) -> dict[str, str]:
    if link is None:
        return {}
    amount = words.money(link.last.money) if link.last else ""
    return {"when": words.moment(link.expires_at), "amount": amount}


@dataclass(frozen=True, slots=True)
class _Card:
    account_id: str
    brand: str
    masked_number: str
    expiry: str


def _show_card(account: WalletCard) -> _Card:
    expiry = f"{account.expiry_month:02d} / {account.expiry_year % 100:02d}"
    return _Card(str(account.account_id), account.brand, account.masked_number, expiry)


def _render(
    template: str, frame: Frame, *, scripted: bool = False, form_action: str = "'none'", **values: Any
) -> HtmlPage:
    design = frame.link.design if frame.link else {}
    style = build_style(design)
    sources = f"'self' {build_style_source(style)}" if style else "'self'"
    policy = (
        f"default-src 'none'; style-src {sources}; img-src data:; base-uri 'none'; frame-ancestors 'none'; "
        f"form-action {form_action}" + ("; script-src 'self'" if scripted else "")
    )
    html = environment.get_template(template).render(
        words=frame.words, is_stage=frame.is_stage, style=style, logo=read_logo(design), **values
    )
    return HtmlPage(html, policy)
