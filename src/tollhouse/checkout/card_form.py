"""The card form of the payment page: reading it, and finding faults by field.

Typed values are shown again, so that a mistake does not empty the form. A card number or a security code is never
shown again, whichever field it was typed into.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from tollhouse.kernel.card import Card, CardDataError, CardNumber, Cvv, Expiry
from tollhouse.kernel.card_search import holds_card_number
from tollhouse.kernel.card_texts import read_digits, read_number, read_plain
from tollhouse.links.pay import PageCard

#: `04/29`, `4 / 2029`, `0429`, `042029`; and `2029-04`, as some browsers fill it in.
EXPIRY_FORM = re.compile(
    r"(?P<month>0?[1-9]|1[0-2])\s*[/.\-\s]\s*(?:20)?(?P<year>[0-9]{2})|(?P<joined>[0-9]{2})(?:20)?(?P<end>[0-9]{2})"
)
EXPIRY_YEAR_FIRST = re.compile(r"20(?P<year>[0-9]{2})-(?P<month>0[1-9]|1[0-2])")
MAX_HOLDER_LENGTH, MAX_ZIP = 255, 255
#: Maximum digits of a postal code that is shown again; more may belong to a card number.
MAX_KEPT_DIGITS = 9
#: Lengths of a security code of any brand.
CODE_LENGTHS = (3, 4)
#: Fields that may contain a card number: its own, and those in which the page reports it as a mistake.
CARD_FIELDS = frozenset({"number", "holder", "zip", "code"})


@dataclass(slots=True)
class SubmittedForm:
    """A submitted form: the card to charge, or keys of error texts by field.

    `kept` has the values that may be shown again, by field.
    """

    card: PageCard | None = None
    faults: dict[str, str] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)


def read_card_form(form: Mapping[str, str], *, today: datetime | None) -> SubmittedForm:
    """Read a form. If `today` is given, a card that expired before it is rejected."""
    if form.get("account"):
        return _read_stored(form)
    submitted = SubmittedForm()
    number, code = _read_number(form, submitted), None
    expiry = _read_expiry(form.get("expiry", ""), submitted, today=today)
    code = _read_code(form, submitted, number)
    holder = _read_holder(read_plain(form.get("holder", "")).strip(), submitted, number)
    zip_ = read_plain(form.get("zip", "")).strip()
    if len(zip_) > MAX_ZIP or _holds_number(zip_, number):
        submitted.faults["zip"] = "fault_zip"
    submitted.kept = _choose_kept(form, submitted.faults, expiry)
    if number and expiry and code and not submitted.faults:
        submitted.card = PageCard(code, card=Card(number, expiry, holder, zip_ or None))
    return submitted


def _read_stored(form: Mapping[str, str]) -> SubmittedForm:
    """Read the form of a stored card, which contains only the security code."""
    submitted = SubmittedForm()
    code = _read_code(form, submitted, None)
    try:
        account_id = UUID(form["account"])
    except ValueError:
        submitted.faults["account"] = "fault_account"
        return submitted
    if code:
        submitted.card = PageCard(code, account_id=account_id)
    return submitted


def _read_number(form: Mapping[str, str], submitted: SubmittedForm) -> CardNumber | None:
    try:
        return CardNumber.parse(read_number(form.get("number", "")))
    except CardDataError:
        submitted.faults["number"] = "fault_number"
        return None


def _read_expiry(text: str, submitted: SubmittedForm, *, today: datetime | None) -> Expiry | None:
    text = read_plain(text).strip()
    form = EXPIRY_FORM.fullmatch(text) or EXPIRY_YEAR_FIRST.fullmatch(text)
    try:
        parts = form.groupdict() if form else {}
        month, year = parts.get("joined") or parts.get("month"), parts.get("end") or parts.get("year")
        expiry = Expiry.parse((month or "").zfill(2), year or "")
    except CardDataError:
        submitted.faults["expiry"] = "fault_expiry"
        return None
    if today is not None and expiry.is_past(year=today.year, month=today.month):
        submitted.faults["expiry"] = "fault_expired"
    return expiry


def _read_code(form: Mapping[str, str], submitted: SubmittedForm, number: CardNumber | None) -> Cvv | None:
    try:
        return Cvv.parse(read_number(form.get("code", "")), brand=number.brand if number else None)
    except CardDataError:
        submitted.faults["code"] = "fault_code"
        return None


def _read_holder(text: str, submitted: SubmittedForm, number: CardNumber | None) -> str:
    is_name = 0 < len(text) <= MAX_HOLDER_LENGTH and text.isprintable() and not _holds_number(text, number)
    if not is_name:
        submitted.faults["holder"] = "fault_holder"
    return text


def _choose_kept(form: Mapping[str, str], faults: Mapping[str, str], expiry: Expiry | None) -> dict[str, str]:
    """Return the values that may be shown again: a valid date, a name without digits, and a postal code.

    If the security code is missing, digits of its length may be the code, typed into the wrong field.
    """
    typed = {name: read_plain(text).strip() for name, text in form.items()}
    secrets = [read_number(form.get(name, "")) for name in ("number", "code")]

    def is_secret(digits: str) -> bool:
        may_be_code = "code" in faults and len(digits) in CODE_LENGTHS
        return bool(digits) and (may_be_code or any(digits in one or (one and one in digits) for one in secrets))

    kept = {}
    date, holder, zip_ = (typed.get(name, "") for name in ("expiry", "holder", "zip"))
    if expiry is not None and not (date.isdigit() and is_secret(date)):
        kept["expiry"] = f"{expiry.month:02d} / {expiry.year % 100:02d}"
    if len(holder) <= MAX_HOLDER_LENGTH and not any(map(str.isdigit, holder)):
        kept["holder"] = holder
    digits = "".join(filter(str.isdigit, read_digits(zip_)))
    if len(zip_) <= MAX_ZIP and len(digits) <= MAX_KEPT_DIGITS and not is_secret(digits):
        kept["zip"] = zip_
    return kept


def _holds_number(text: str, number: CardNumber | None) -> bool:
    return holds_card_number(text) or (number is not None and number.occurs_in(text))
