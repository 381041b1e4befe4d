"""Countries of ISO 3166-1, as clients write them: with two letters or three, in any case.

The tables are those of the `iso3166` package. Codes of three letters that are in no table are taken as they are, since
shops have tables of their own (`FIJ`, `ANT`), and no payment should fail over them.
"""

from __future__ import annotations

from iso3166 import countries_by_alpha2, countries_by_alpha3

from tollhouse.kernel.card_texts import read_plain

#: Codes that are reserved or were in use, and have no row of their own (ISO 3166-1 and 3166-3).
OTHER_ALPHA_3 = {"AN": "ANT", "EL": "GRC", "UK": "GBR", "XK": "XKX"}

NO_COUNTRY = "must be a country of ISO 3166-1, with two letters or three, as US or USA"


def read_country(text: str) -> str:
    """Return the code with three letters. Raises ValueError with a text that is fit for an answer."""
    code = read_plain(text).strip().upper()
    if code.isascii() and code.isalpha():
        if len(code) == 3:
            return code
        known = countries_by_alpha2.get(code)
        if known is not None or code in OTHER_ALPHA_3:
            return known.alpha3 if known else OTHER_ALPHA_3[code]
    raise ValueError(NO_COUNTRY)


def to_alpha_2(alpha_3: str) -> str | None:
    """Return the code with two letters, or None for a country that is in no table."""
    known = countries_by_alpha3.get(alpha_3)
    return known.alpha2 if known else None
