"""A parser for the reference rates of the European Central Bank.

It reads the daily file, as XML (`eurofxref-daily.xml`) or CSV (`eurofxref.csv`, packed as a zip by the bank), and the
longer files in the same two forms. Every value is checked, and one fault rejects the whole file.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from importlib.resources import files
from xml.etree import ElementTree as ET

from tollhouse.kernel.errors import TollhouseError
from tollhouse.rates.model import DOLLAR, EURO, RateTable

NAMESPACE = "{http://www.ecb.int/vocabulary/2002-08-01/eurofxref}"

#: The whole history since 1999 has some 8 MB as XML and 7,000 days.
MAX_BYTES = 32 * 1024 * 1024
MAX_DAYS = 20_000
MAX_CURRENCIES = 300

CODE_FORM = re.compile(r"[A-Z]{3}")
RATE_FORM = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
NOT_QUOTED = "N/A"
#: `30 October 2026` in the daily file, independent of the machine's locale.
MONTHS = (
    "January February March April May June July August September October November December".split()  # noqa: SIM905
)
DAY_FORM = re.compile(rf"([0-9]{{1,2}}) ({'|'.join(MONTHS)}) ([0-9]{{4}})")


class RatesUnreadable(TollhouseError):
    """The file has no reference rates in a form of the European Central Bank."""


def parse_tables(content: bytes) -> list[RateTable]:
    """Parse a file into a table for each day, newest first. Raises RatesUnreadable with the fault."""
    if len(content) > MAX_BYTES:
        raise RatesUnreadable(f"The file has more than {MAX_BYTES // 1024 // 1024} MB.")
    if content[:2] == b"PK":
        raise RatesUnreadable("The file is a zip archive. Unpack it and load its content.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RatesUnreadable("The file is not text in UTF-8.") from None
    tables = list(_read_xml(text) if text.lstrip().startswith("<") else _read_csv(text))
    _check(tables)
    return sorted(tables, key=lambda table: table.day, reverse=True)


@cache
def load_shipped_table() -> RateTable:
    """Load the built-in table, which has the form of the daily CSV file."""
    content = files("tollhouse.rates").joinpath("data", "eurofxref.csv").read_bytes()
    return parse_tables(content)[0]


def _read_xml(text: str) -> Iterator[RateTable]:
    """Parse `Cube` elements: one for each day, with one for each currency in it."""
    if "<!" in text.replace("<!--", ""):
        raise RatesUnreadable("The XML has a document type, unlike a file of the European Central Bank.")
    try:
        root = ET.fromstring(text)  # noqa: S314 - without a document type there are no entities to expand
    except (ET.ParseError, ValueError) as error:
        raise RatesUnreadable(f"The file begins like XML but is not valid XML: {error}.") from None
    for element in root.iter(f"{NAMESPACE}Cube"):
        if (day := element.get("time")) is not None:
            pairs = ((cube.get("currency", ""), cube.get("rate", "")) for cube in element.iter(f"{NAMESPACE}Cube"))
            yield _build_table(_read_day(day), ((name, rate) for name, rate in pairs if name or rate))


def _read_csv(text: str) -> Iterator[RateTable]:
    """Parse lines: the first has the currencies, each other line is a day."""
    try:
        lines = [[cell.strip() for cell in line] for line in csv.reader(text.splitlines(), strict=True) if line]
    except csv.Error as error:
        raise RatesUnreadable(f"The file is not valid CSV: {error}.") from None
    if not lines or lines[0][0] != "Date":
        raise RatesUnreadable("The file is neither XML nor CSV: its first line does not begin with Date.")
    names = _trim(lines[0][1:])
    for line in lines[1:]:
        cells = _trim(line[1:])
        if len(cells) != len(names):
            raise RatesUnreadable(f"The line of {line[0][:32]!r} has {len(cells)} rates for {len(names)} currencies.")
        pairs = zip(names, cells, strict=True)
        yield _build_table(_read_day(line[0]), ((name, rate) for name, rate in pairs if rate != NOT_QUOTED))


def _trim(cells: list[str]) -> list[str]:
    """Drop the empty cell after the comma that ends each line."""
    return cells[:-1] if cells and not cells[-1] else cells


def _read_day(text: str) -> date:
    try:
        if found := DAY_FORM.fullmatch(text):
            return date(int(found[3]), MONTHS.index(found[2]) + 1, int(found[1]))
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        raise RatesUnreadable(f"The file has the date {text[:32]!r}, which is invalid.") from None


def _build_table(day: date, pairs: Iterable[tuple[str, str]]) -> RateTable:
    per_euro: dict[str, Decimal] = {}
    for name, text in pairs:
        if not CODE_FORM.fullmatch(name) or name == EURO:
            raise RatesUnreadable(
                f"The rates of {day} name {name[:32]!r}, which is not a currency other than the euro."
            )
        if name in per_euro:
            raise RatesUnreadable(f"The rates of {day} have {name} twice.")
        if not RATE_FORM.fullmatch(text) or not Decimal(text):
            raise RatesUnreadable(f"The rate of {name} on {day} is {text[:32]!r}, which is not a number above zero.")
        per_euro[name] = Decimal(text)
        if len(per_euro) > MAX_CURRENCIES:
            raise RatesUnreadable(f"The rates of {day} have more than {MAX_CURRENCIES} currencies.")
    return RateTable(day, per_euro)


def _check(tables: list[RateTable]) -> None:
    """Reject a file with no day, a repeated day, too many days, or a day without US dollars."""
    if not tables:
        raise RatesUnreadable("The file has no rates.")
    if len(tables) > MAX_DAYS:
        raise RatesUnreadable(f"The file has more than {MAX_DAYS} days.")
    days = {table.day for table in tables}
    if len(days) < len(tables):
        raise RatesUnreadable("The file has a day twice.")
    for table in tables:
        if DOLLAR not in table.per_euro:
            raise RatesUnreadable(f"The rates of {table.day} have no {DOLLAR}.")
