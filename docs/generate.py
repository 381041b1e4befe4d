"""Write the reference pages that are generated from the code, so that they cannot contradict it.

python docs/generate.py           write the pages
python docs/generate.py --check   list pages that are out of date, and fail if there are any
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
from tollhouse.api.reading.body import SOURCE_KINDS
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
        print(f"docs/{path.relative_to(DOCS)} is out of date. Run make docs.")
    return 1 if stale else 0


def render_codes() -> str:
    """Render the table of payment codes."""
    table = read_codes()
    edition = table["edition"]
    return page(
        "Payment codes",
        "Every response and every callback about a payment has `payment.code`, a string of digits, and",
        "`payment.description`, its text. A decline also has `payment.codeCategory`.",
        "",
        "- `0` is an approval; while a payment is pending the code is `0` too, so check `payment.status`.",
        "- `1xxx` are decisions of the gateway.",
        "- `5xxx` are declines by the issuer: 5000 plus the number of its response code (ISO 8583, field 39).",
        "  Response codes that are not numbers have separate codes, listed below.",
        "- Texts for lost and stolen cards and for suspected fraud are deliberately the same, because the person who",
        "  uses the card sees them.",
        "",
        f"Edition {edition['name']}, {edition['date']}. Sources: {edition['source']}.",
        "",
        *markdown_table(
            ("Code", "Text", "Category", "What to do"),
            ((f"`{c.code}`", c.text, c.category_text, c.advice) for c in codes.list_codes()),
        ),
        "",
        "## Response codes with separate codes",
        "",
        *markdown_table(("Issuer's response code", "Brand", "Code"), own_codes(table)),
    )


def render_settings() -> str:
    """Render the table of settings, with the comments of `settings.py` as their meaning."""
    return page(
        "Settings",
        "A process reads its settings from the environment once, when it starts. An option of the command line with",
        "the same meaning takes precedence over its variable.",
        "",
        *markdown_table(
            ("Variable", "Value", "Default", "Meaning"),
            (
                (f"`TOLLHOUSE_{name.upper()}`", describe_type(field), describe_default(field), meaning)
                for name, field in Settings.model_fields.items()
                for meaning in [read_meaning(name)]
            ),
        ),
    )


def describe_type(field: FieldInfo) -> str:
    """Describe the values of a setting in a few words."""
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
    """Describe the default of a setting."""
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
        raise SystemExit(f"The setting {name} has no comment (#:) above it. Add one: it is the line in the reference.")
    return " ".join(line.removeprefix("    #:").strip() for line in lines[start:end])


def own_codes(table: dict[str, Any]) -> Iterable[tuple[str, ...]]:
    """List the response codes whose payment code is not 5000 plus a number."""
    for name, brand in (("iso", "any"), ("iso_mastercard", "Mastercard")):
        for response_code, row in sorted(table[name].items()):
            if "code" in row:
                yield f"`{response_code}`", brand, f"`{row['code']}`"
    yield "other letters", "any", f"`{table['iso_unknown']['code']}`"


def read_codes() -> dict[str, Any]:
    """Read the table of codes."""
    return tomllib.loads(files("tollhouse.kernel").joinpath("codes.toml").read_text(encoding="utf-8"))


def render_calls() -> str:
    """Render the table of calls and sources. The program determines which are implemented."""
    known = tomllib.loads((DOCS / "calls.toml").read_text(encoding="utf-8"))
    implemented = read_calls()
    shapes = {shape_of(call): call for call in implemented}
    wanted = {row["call"] for row in known["calls"]}
    return page(
        "Calls",
        "Every call and every payment source of the API that Tollhouse is compatible with, and its state.",
        "`/openapi.json` on a running gateway lists the fields.",
        "",
        "## Calls",
        "",
        *markdown_table(
            ("Call", "What it does", "State"),
            (
                (f"`{name}`", row["does"], state_of(row, is_implemented=row["call"] in shapes))
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
                (f"`{row['type']}`", row["does"], state_of(row, is_implemented=row["type"] in SOURCE_KINDS))
                for row in known["sources"]
            ),
        ),
        "",
        "Only the names of these are known; their `type` is not public:",
        "",
        *markdown_table(("Name", "State"), ((row["name"], f"planned with {row['with']}") for row in known["unnamed"])),
        "",
        "## Calls of our own",
        "",
        "Calls that the original API does not have. Those below `/stage/` exist in stage only.",
        "",
        *markdown_table(
            ("Call", "What it does"),
            ((f"`{call}`", summary) for call, summary in sorted(implemented.items()) if shape_of(call) not in wanted),
        ),
    )


def state_of(row: dict[str, str], *, is_implemented: bool) -> str:
    """Return the state of a call or a source."""
    if not is_implemented and "with" not in row:
        raise SystemExit(f"This is not implemented, and calls.toml has no `with` for it: {row}")
    return "implemented" if is_implemented else f"planned with {row['with']}"


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
