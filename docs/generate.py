"""Writes the reference pages that come from the code, so that they cannot say something else than it.

python docs/generate.py           write the pages
python docs/generate.py --check   say which pages are out of date, and fail if any is
"""

from __future__ import annotations

import inspect
import re
import sys
import tomllib
from collections.abc import Callable, Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from dunning_page import render_dunning
from markdown_pages import markdown_table, page
from schema_page import render_schema
from tollhouse.api.faults import SOURCE_KINDS
from tollhouse.composition.app import build_gateway
from tollhouse.composition.logs import configure_logs
from tollhouse.composition.settings import Settings
from tollhouse.composition.web import list_calls
from tollhouse.kernel import codes
from tollhouse.storage.database import Database
from tollhouse.vault.keys import FileKeyProvider
from tollhouse.vault.vault import Vault

DOCS = Path(__file__).parent

TYPE_WORDS = {int: "whole number", float: "number", Path: "path", bool: "true or false"}
BOUND_WORDS = {"ge": "from", "gt": "above", "le": "to", "lt": "below"}


def main(arguments: list[str]) -> int:
    """Write the pages, or check them; return the exit status."""
    pages = {DOCS / name: render() for name, render in PAGES.items()}
    if "--check" not in arguments:
        for path, text in pages.items():
            path.write_text(text, encoding="utf-8")
        return 0
    stale = [path for path, text in pages.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(f"docs/{path.relative_to(DOCS)} is out of date; make docs writes it anew.")
    return 1 if stale else 0


def render_codes() -> str:
    """Render the table of payment codes."""
    table = read_codes()
    edition = table["edition"]
    return page(
        "Payment codes",
        "Every answer and every callback about a payment carries `payment.code`, a string of digits, and",
        "`payment.description`, its text. A decline also carries `payment.codeCategory`.",
        "",
        "- `0` is an approval; while a payment is pending the code is `0` too, so look at `payment.status`.",
        "- `1xxx` are decisions of the gateway.",
        "- `5xxx` are declines by the issuer: 5000 plus the number of its response code (ISO 8583, field 39).",
        "  Response codes that are not numbers have codes of their own, listed further down.",
        "- Texts for lost and stolen cards and for suspected fraud are alike on purpose: they are shown to whoever",
        "  holds the card.",
        "",
        f"Edition {edition['name']}, {edition['date']}. Sources: {edition['source']}.",
        "",
        *markdown_table(
            ("Code", "Text", "Category", "What to do"),
            ((f"`{c.code}`", c.text, c.category_text, c.advice) for c in codes.list_codes()),
        ),
        "",
        "## Response codes with a code of their own",
        "",
        *markdown_table(("Issuer's response code", "Brand", "Code"), own_codes(table)),
    )


def render_settings() -> str:
    """Render the table of settings, with the comments of `settings.py` as their meaning."""
    return page(
        "Settings",
        "Settings are read from the environment once, when a process starts. An option of the command line that has",
        "the same meaning comes before its variable.",
        "",
        *markdown_table(
            ("Variable", "Value", "By default", "Meaning"),
            (
                (f"`TOLLHOUSE_{name.upper()}`", describe_type(field), describe_default(field), meaning)
                for name, field in Settings.model_fields.items()
                for meaning in [read_meaning(name)]
            ),
        ),
    )


def describe_type(field: FieldInfo) -> str:
    """Say in a few words what a setting takes."""
    kinds = [kind for kind in (get_args(field.annotation) or (field.annotation,)) if kind is not type(None)]
    if all(isinstance(kind, str) for kind in kinds):
        return ", ".join(f"`{kind}`" for kind in kinds)
    if get_origin(kinds[0]) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(kinds[0]))
    bounds = " ".join(f"{word} {bound}" for word, bound in read_bounds(field))
    return f"{TYPE_WORDS.get(kinds[0], 'text')} {bounds}".strip()


def read_bounds(field: FieldInfo) -> Iterable[tuple[str, Any]]:
    """Yield the bounds of a number in words."""
    for constraint in field.metadata:
        for attribute, word in BOUND_WORDS.items():
            if hasattr(constraint, attribute):
                yield word, getattr(constraint, attribute)


def describe_default(field: FieldInfo) -> str:
    """Say what holds when a setting is not set."""
    if field.default in {None, ()}:
        return ""
    return f"`{','.join(field.default) if isinstance(field.default, tuple) else field.default}`"


def read_meaning(name: str) -> str:
    """Return the comment above a setting."""
    lines = inspect.getsource(Settings).splitlines()
    end = next(number for number, line in enumerate(lines) if line.startswith(f"    {name}:"))
    start = end
    while lines[start - 1].startswith("    #:"):
        start -= 1
    if start == end:
        raise SystemExit(f"The setting {name} has no comment (#:) above it, which is its line in the reference.")
    return " ".join(line.removeprefix("    #:").strip() for line in lines[start:end])


def own_codes(table: dict[str, Any]) -> Iterable[tuple[str, ...]]:
    """List the response codes whose payment code is not 5000 plus a number."""
    for name, brand in (("iso", "any"), ("iso_mastercard", "Mastercard")):
        for response_code, row in sorted(table[name].items()):
            if "code" in row:
                yield f"`{response_code}`", brand, f"`{row['code']}`"
    yield "other letters", "any", f"`{table['iso_unknown']['code']}`"


def read_codes() -> dict[str, Any]:
    """Read the table as it is written."""
    return tomllib.loads(files("tollhouse.kernel").joinpath("codes.toml").read_text(encoding="utf-8"))


def render_calls() -> str:
    """Render the table of calls and sources; whether one is there is seen in the program."""
    known = tomllib.loads((DOCS / "calls.toml").read_text(encoding="utf-8"))
    there = read_calls()
    shapes = {shape_of(call): call for call in there}
    wanted = {row["call"] for row in known["calls"]}
    return page(
        "Calls",
        "Every call and every payment source of the API that Tollhouse is compatible with, and whether it is there.",
        "`/openapi.json` on a running gateway has the fields.",
        "",
        "## Calls",
        "",
        *markdown_table(
            ("Call", "What it does", "State"),
            (
                (f"`{name}`", row["does"], state_of(row, is_there=row["call"] in shapes))
                for row in known["calls"]
                for name in [shapes.get(row["call"], row["call"].replace("{}", "{id}"))]
            ),
        ),
        "",
        "## Payment sources",
        "",
        *markdown_table(
            ("Type", "What it is", "State"),
            (
                (f"`{row['type']}`", row["does"], state_of(row, is_there=row["type"] in SOURCE_KINDS))
                for row in known["sources"]
            ),
        ),
        "",
        "These are known by their names only; by which `type` they are asked for is not public:",
        "",
        *markdown_table(("Name", "State"), ((row["name"], f"comes with {row['with']}") for row in known["unnamed"])),
        "",
        "## Calls of our own",
        "",
        "What other clients do not know. Those below `/stage/` are there in stage only.",
        "",
        *markdown_table(
            ("Call", "What it does"),
            ((f"`{call}`", summary) for call, summary in sorted(there.items()) if shape_of(call) not in wanted),
        ),
    )


def state_of(row: dict[str, str], *, is_there: bool) -> str:
    """Say whether a call or a source is there, or with what it comes."""
    if not is_there and "with" not in row:
        raise SystemExit(f"calls.toml does not say with what this comes, which is not there: {row}")
    return "there" if is_there else f"comes with {row['with']}"


def shape_of(call: str) -> str:
    """Return a call without the names of its parameters."""
    return re.sub(r"\{\w+\}", "{}", call)


def read_calls() -> dict[str, str]:
    """Return the calls of the program, with their parameters as on the wire, and what each does.

    The program is put together on nothing: to list its routes asks no database.
    """
    configure_logs(form="console", level="error")
    nothing: Any = None
    keys = FileKeyProvider({1: bytes(32)}, bytes(32))
    gateway = build_gateway(Settings(), Database(nothing), Vault(keys), nothing)
    return {f"{route.method} {route.path}": route.summary for route in list_calls(gateway) if route.is_documented}


PAGES: dict[str, Callable[[], str]] = {
    "reference/calls.md": render_calls,
    "reference/codes.md": render_codes,
    "reference/dunning.md": render_dunning,
    "reference/schema.md": render_schema,
    "reference/settings.md": render_settings,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
