"""Files of reference rates: the forms that the European Central Bank publishes are read, all else is refused whole."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.rates.ecb import RatesUnreadable, parse_tables

DAILY_CSV = b"Date, USD, JPY, ISK, \n30 October 2026, 1.1172, 175.68, 136.00, \n"
HISTORY_CSV = b"Date,USD,JPY,BGN,\r\n2026-10-30,1.1172,175.68,N/A,\r\n2025-12-31,1.1750,184.09,1.9558,\r\n"
DAILY_XML = b"""<?xml version="1.0" encoding="UTF-8"?>
<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01"
    xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">
  <gesmes:subject>Reference rates</gesmes:subject>
  <gesmes:Sender><gesmes:name>European Central Bank</gesmes:name></gesmes:Sender>
  <Cube>
    <Cube time='2026-10-30'>
      <Cube currency='USD' rate='1.1172'/>
      <Cube currency='JPY' rate='175.68'/>
    </Cube>
  </Cube>
</gesmes:Envelope>
"""


def test_the_daily_csv() -> None:
    """One line of rates, under one of currencies, with a date in English words."""
    [table] = parse_tables(DAILY_CSV)
    assert table.day == date(2026, 10, 30)
    assert table.per_euro == {"USD": Decimal("1.1172"), "JPY": Decimal("175.68"), "ISK": Decimal("136.00")}


def test_the_history_csv() -> None:
    """Many lines, the newest first; what is not quoted on a day has no rate there."""
    newest, oldest = parse_tables(HISTORY_CSV)
    assert (newest.day, oldest.day) == (date(2026, 10, 30), date(2025, 12, 31))
    assert set(newest.per_euro) == {"USD", "JPY"}
    assert oldest.per_euro["BGN"] == Decimal("1.9558")


def test_xml_equals_csv() -> None:
    """The XML has the rates of the CSV, also with a byte order mark or several days."""
    [table] = parse_tables(b"\xef\xbb\xbf" + DAILY_XML)
    assert table.day == date(2026, 10, 30)
    assert table.per_euro == {"USD": Decimal("1.1172"), "JPY": Decimal("175.68")}
    another = b"<Cube time='2026-10-29'><Cube currency='USD' rate='1.1130'/></Cube></Cube>\n</gesmes"
    both = parse_tables(DAILY_XML.replace(b"</Cube>\n</gesmes", another))
    assert [table.day.day for table in both] == [30, 29]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "does not begin with Date"),
        (b"hello", "does not begin with Date"),
        (b"\xff\xfe", "UTF-8"),
        (b"PK\x03\x04", "zip"),
        (b"Date, USD, \n", "no rates"),
        (b"<html></html>", "no rates"),
        (b"<html>", "begins like XML"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "document type"),
        (DAILY_CSV.replace(b"1.1172", b"-1"), "not a number above zero"),
        (DAILY_CSV.replace(b"1.1172", b"0.00"), "not a number above zero"),
        (DAILY_CSV.replace(b"1.1172", b"NaN"), "not a number above zero"),
        (DAILY_CSV.replace(b"1.1172", b"1e5"), "not a number above zero"),
        (DAILY_CSV.replace(b"1.1172", "١".encode()), "not a number above zero"),
        (DAILY_CSV.replace(b"1.1172, ", b""), "2 rates for 3"),
        (DAILY_CSV.replace(b"JPY", b"USD"), "twice"),
        (DAILY_CSV.replace(b"JPY", b"EUR"), "not a currency"),
        (DAILY_CSV.replace(b"JPY", b"Yen"), "not a currency"),
        (DAILY_CSV.replace(b"USD", b"GBP"), "have no USD"),
        (DAILY_CSV.replace(b"October", b"Octember"), "date"),
        (DAILY_CSV.replace(b"30 Oct", b"31 Nov").replace(b"ober", b"ember", 1), "date"),
        (HISTORY_CSV.replace(b"2025-12-31", b"2026-10-30"), "a day twice"),
        (HISTORY_CSV.replace(b"2025-12-31", b"2025-12-32"), "date"),
        (DAILY_XML.replace(b"1.1172", b"one"), "not a number above zero"),
        (DAILY_XML.replace(b"currency='JPY' ", b""), "not a currency"),
        (DAILY_XML.replace(b"eurofxref", b"another"), "no rates"),
    ],
)
def test_anything_else_is_refused(content: bytes, text: str) -> None:
    """A file with one thing wrong is refused as a whole, with a sentence that says what."""
    with pytest.raises(RatesUnreadable, match=text):
        parse_tables(content)


@given(st.binary(max_size=200), st.sampled_from([b"", b"Date,USD\n", b"<a>", DAILY_XML[:400]]))
def test_rubbish_is_refused_and_never_a_fault(rubbish: bytes, before: bytes) -> None:
    """Any bytes are parsed as rates or rejected."""
    try:
        parse_tables(before + rubbish)
    except RatesUnreadable:
        return
