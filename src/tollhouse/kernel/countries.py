"""Countries of ISO 3166-1, parsed from two or three letters in any case.

The tables are those of the `iso3166` package. Three-letter codes that are in no table are accepted unchanged, because
shops have their own tables (`FIJ`, `ANT`), and a payment should not fail over them.
"""

from __future__ import annotations

from iso3166 import countries_by_alpha2, countries_by_alpha3

from tollhouse.kernel.card_texts import read_plain

#: Reserved or former codes without a row of their own (ISO 3166-1 and 3166-3).
OTHER_ALPHA_3 = {"AN": "ANT", "EL": "GRC", "UK": "GBR", "XK": "XKX"}

NO_COUNTRY = "must be a country of ISO 3166-1, with two letters or three, as US or USA"


def read_country(text: str) -> str:
    """Return the three-letter code. Raises ValueError with a text suitable for a response."""
    code = read_plain(text).strip().upper()
    if code.isascii() and code.isalpha():
        if len(code) == 3:
            return code
        known = countries_by_alpha2.get(code)
        if known is not None or code in OTHER_ALPHA_3:
            return known.alpha3 if known else OTHER_ALPHA_3[code]
    raise ValueError(NO_COUNTRY)


def to_alpha_2(alpha_3: str) -> str | None:
    """Return the two-letter code, or None for a country that is in no table."""
    known = countries_by_alpha3.get(alpha_3)
    return known.alpha2 if known else None
