"""Reading the form of a payment page. Faults are named by field.

What was typed goes back into the page, so that a slip does not empty the form; but never a card number or a security
code, in whatever field either was typed.
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

#: `04/29`, `4 / 2029`, `0429`, `042029`; and `2029-04`, which some fill in.
EXPIRY_FORM = re.compile(
    r"(?P<month>0?[1-9]|1[0-2])\s*[/.\-\s]\s*(?:20)?(?P<year>[0-9]{2})|(?P<joined>[0-9]{2})(?:20)?(?P<end>[0-9]{2})"
)
EXPIRY_YEAR_FIRST = re.compile(r"20(?P<year>[0-9]{2})-(?P<month>0[1-9]|1[0-2])")
MAX_HOLDER_LENGTH, MAX_ZIP = 255, 255
#: Of a postal code; more digits may be those of a card.
MAX_KEPT_DIGITS = 9
#: Of a security code of any brand.
CODE_LENGTHS = (3, 4)
#: The field for a card number, and those in which one is a slip that the page points out.
CARD_FIELDS = frozenset({"number", "holder", "zip", "code"})


@dataclass(slots=True)
class Filled:
    """A form as it was filled in: what to pay with, or the keys of the words that say what is wrong, by field.

    `kept` is what may be shown again, by field.
    """

    means: PageCard | None = None
    faults: dict[str, str] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)


def read_card_form(form: Mapping[str, str], *, today: datetime | None) -> Filled:
    """Read a form. `today` is given where a card whose expiry is past is refused here."""
    if form.get("account"):
        return _read_stored(form)
    filled = Filled()
    number, code = _read_number(form, filled), None
    expiry = _read_expiry(form.get("expiry", ""), filled, today=today)
    code = _read_code(form, filled, number)
    holder = _read_holder(read_plain(form.get("holder", "")).strip(), filled, number)
    zip_ = read_plain(form.get("zip", "")).strip()
    if len(zip_) > MAX_ZIP or _holds_number(zip_, number):
        filled.faults["zip"] = "fault_zip"
    filled.kept = _choose_kept(form, filled.faults, expiry)
    if number and expiry and code and not filled.faults:
        filled.means = PageCard(code, card=Card(number, expiry, holder, zip_ or None))
    return filled


def _read_stored(form: Mapping[str, str]) -> Filled:
    """Read the form of a stored card, of which only the security code is asked."""
    filled = Filled()
    code = _read_code(form, filled, None)
    try:
        account_id = UUID(form["account"])
    except ValueError:
        filled.faults["account"] = "fault_account"
        return filled
    if code:
        filled.means = PageCard(code, account_id=account_id)
    return filled


def _read_number(form: Mapping[str, str], filled: Filled) -> CardNumber | None:
    try:
        return CardNumber.parse(read_number(form.get("number", "")))
    except CardDataError:
        filled.faults["number"] = "fault_number"
        return None


def _read_expiry(text: str, filled: Filled, *, today: datetime | None) -> Expiry | None:
    text = read_plain(text).strip()
    form = EXPIRY_FORM.fullmatch(text) or EXPIRY_YEAR_FIRST.fullmatch(text)
    try:
        parts = form.groupdict() if form else {}
        month, year = parts.get("joined") or parts.get("month"), parts.get("end") or parts.get("year")
        expiry = Expiry.parse((month or "").zfill(2), year or "")
    except CardDataError:
        filled.faults["expiry"] = "fault_expiry"
        return None
    if today is not None and expiry.is_past(year=today.year, month=today.month):
        filled.faults["expiry"] = "fault_expired"
    return expiry


def _read_code(form: Mapping[str, str], filled: Filled, number: CardNumber | None) -> Cvv | None:
    try:
        return Cvv.parse(read_number(form.get("code", "")), brand=number.brand if number else None)
    except CardDataError:
        filled.faults["code"] = "fault_code"
        return None


def _read_holder(text: str, filled: Filled, number: CardNumber | None) -> str:
    is_name = 0 < len(text) <= MAX_HOLDER_LENGTH and text.isprintable() and not _holds_number(text, number)
    if not is_name:
        filled.faults["holder"] = "fault_holder"
    return text


def _choose_kept(form: Mapping[str, str], faults: Mapping[str, str], expiry: Expiry | None) -> dict[str, str]:
    """Return what may be shown again: a date that is one, a name without digits, a postal code that is nothing else.

    As long as there is no security code, as many digits as one has may be it, typed into the wrong field.
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
