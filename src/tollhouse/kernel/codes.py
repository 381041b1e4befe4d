"""The codes of payments: from an issuer's response code to our code, its text, category and retry advice.

The table is data (`codes.toml`), with its edition and sources. It is loaded once.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, Literal

APPROVED = "0"
BLACKLISTED = "1001"
VELOCITY = "1002"
AUTHENTICATION_FAILED = "1010"
AUTHENTICATION_ABANDONED = "1011"
AUTHENTICATION_REQUIRED = "1012"
ACCOUNT_DISABLED = "1020"
NO_ROUTE = "1030"
ACQUIRER_UNREACHABLE = "1040"
REVERSED = "1041"
#: Reserved for crypto payments that expire or are underpaid. No issuer response maps to it.
ORDER_EXPIRED = "5099"

#: The issuer requires authentication, and would then consider the same payment again.
SOFT_DECLINE = "5201"


CATEGORIES = {None: "", 1: "1, never retry", 2: "2, retry later", 3: "3, fix the data", 4: "4, other"}
ADVICE = {
    None: "",
    "never": "Do not send it again.",
    "later": "Send it again later.",
    "with_changes": "Send it again with other data.",
    "with_3ds": "Send it again with 3-D Secure.",
}


@dataclass(frozen=True, slots=True)
class Code:
    """A payment code. `category` and `retry` are None for an approval."""

    code: str
    text: str
    category: int | None = None
    retry: Literal["never", "later", "with_changes", "with_3ds"] | None = None

    @property
    def category_text(self) -> str:
        """The category in words. None for an approval."""
        return CATEGORIES[self.category]

    @property
    def advice(self) -> str:
        """The retry advice for the merchant. None for an approval."""
        return ADVICE[self.retry]


@dataclass(frozen=True, slots=True)
class CodeRow:
    """A row of the table. `brand` is None for all brands, `response_code` for a decision of the gateway."""

    code: Code
    brand: str | None
    response_code: str | None


@dataclass(frozen=True, slots=True)
class Edition:
    """The edition of the table: its name, date and sources."""

    name: str
    date: str
    source: str


def get_code(code: str) -> Code:
    """Return the code with its text. An unlisted code gets the text of an unknown decline."""
    return _by_code().get(code) or _unknown(code)


@lru_cache(maxsize=1024)
def translate_response_code(response_code: str, *, brand: str) -> Code:
    """Translate an issuer's decline (ISO 8583 field 39) into our code: 5000 plus the number, or the table's value.

    A brand's own row takes precedence over the common one. An unknown number keeps its number. Unknown letters, and the
    number 99, become 5299.
    """
    table = _table()
    row = table.get(f"iso_{brand}", {}).get(response_code) or table["iso"].get(response_code)
    if row is not None:
        return _code(row.get("code", f"50{response_code}"), row)
    is_numeric = response_code.isascii() and response_code.isdigit() and len(response_code) == 2
    is_numeric = is_numeric and f"50{response_code}" != ORDER_EXPIRED
    return _unknown(f"50{response_code}") if is_numeric else _unknown(table["iso_unknown"]["code"])


def list_codes() -> list[Code]:
    """Return every code of the table, in order."""
    return sorted(_by_code().values(), key=lambda code: (len(code.code), code.code))


def list_rows() -> list[CodeRow]:
    """Return every row of the table: the gateway's own, those of every brand, those of one brand, the rest."""
    table = _table()
    ours = [CodeRow(_code(code, row), None, None) for code, row in table["ours"].items()]
    theirs = [
        CodeRow(_code(row.get("code", f"50{response}"), row), name.partition("_")[2] or None, response)
        for name in sorted(table)
        if name == "iso" or (name.startswith("iso_") and name != "iso_unknown")
        for response, row in table[name].items()
    ]
    return [*ours, *theirs, CodeRow(_unknown(table["iso_unknown"]["code"]), None, None)]


def get_edition() -> Edition:
    """Return the edition of the table."""
    row = _table()["edition"]
    return Edition(row["name"], row["date"].isoformat(), row["source"])


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath("codes.toml").read_text(encoding="utf-8"))


@cache
def _by_code() -> dict[str, Code]:
    table = _table()
    codes = {code: _code(code, row) for code, row in table["ours"].items()}
    for name in ("iso_mastercard", "iso"):
        codes |= {
            c.code: c for response, row in table[name].items() for c in [_code(row.get("code", f"50{response}"), row)]
        }
    return codes


def _code(code: str, row: dict[str, Any]) -> Code:
    return Code(code, row["text"], row.get("category"), row.get("retry"))


def _unknown(code: str) -> Code:
    return _code(code, _table()["iso_unknown"])
