"""Writes the reference pages that come from the code, so that they cannot say something else than it.

python docs/generate.py           write the pages
python docs/generate.py --check   say which pages are out of date, and fail if any is
"""

from __future__ import annotations

import asyncio
import inspect
import re
import sys
import tomllib
from collections.abc import Callable, Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import httpx
from pydantic.fields import FieldInfo

from tollhouse.api.problems import SOURCE_KINDS
from tollhouse.app import build_gateway
from tollhouse.billing import dunning
from tollhouse.kernel import codes
from tollhouse.logs import configure_logs
from tollhouse.settings import Settings
from tollhouse.storage.database import Database
from tollhouse.vault.keys import FileKeyProvider
from tollhouse.vault.vault import Vault
from tollhouse.web import build_web

DOCS = Path(__file__).parent
MADE_BY = "<!-- Written by docs/generate.py (make docs); change the code, not this page. -->"

TYPE_WORDS = {int: "whole number", float: "number", Path: "path", bool: "true or false"}
REASON_WORDS = {
    "cardholder_needed": "the cardholder has to authenticate",
    "cardholder_stopped": "the cardholder revoked it",
    "consumer_blocked": "the consumer is blocked",
    "never_again": "declined for good",
    "new_account_needed": "the data has to change",
    "not_to_be_repeated": "sending it again will hardly help",
}
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
            ((f"`{c.code}`", c.text, c.category_text, c.advice) for c in codes.all_codes()),
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


def render_dunning() -> str:
    """Render what follows a renewal that failed; what follows a code is asked of the rules themselves."""
    table = read_dunning()
    return page(
        "Dunning",
        *introduce_dunning(table),
        "",
        *tabulate_codes(table),
        "",
        *tabulate_advice(table),
        "",
        *tabulate_limits(table),
        "",
        *tabulate_policies(table),
    )


def introduce_dunning(table: dict[str, Any]) -> list[str]:
    """Say what may follow at all."""
    return [
        "A renewal that failed is not the end of a subscription. What follows depends on why it failed.",
        "",
        *markdown_table(
            ("What follows", "What it means"),
            (
                ("Tried again", f"{describe_days(table)}; `past_due` meanwhile, `expired` if the last try fails"),
                ("Waits", "`past_due` until the next period falls due, then `expired`, unless a new account mends it"),
                ("Ends", "`expired` at once"),
            ),
        ),
        "",
        "- No try is made when the next period falls due or later. If the schedule's next one would be, the",
        "  subscription waits. What was no decline of the issuer's (1030, 1040, 1041) is then tried again after an",
        "  hour, so that a fault of the gateway's own ends no daily subscription.",
        f"- Where there is no next period, dunning ends {table['schedule']['end_days']} days after the due time.",
        "- A try is moved to later by the issuer's advice, or by a limit of the card's scheme. If the day of the next",
        "  one is then past, or the gateway was down, the schedule goes on from the last failure with the same gaps.",
        "- A disabled payment account does not matter: running subscriptions are left alone.",
        "- A consumer on the blacklist is not charged: the subscription ends as its next renewal is refused with 1001.",
        "  Other consumers with the same card keep theirs.",
        "",
        f"Edition {table['edition']['name']}, {table['edition']['date'].isoformat()}.",
    ]


def tabulate_codes(table: dict[str, Any]) -> list[str]:
    """Say what follows each code of a renewal."""
    declines = (code for code in codes.all_codes() if code.code not in {codes.APPROVED, codes.CHARGED_BACK})
    return [
        "## By code",
        "",
        "What the table of [payment codes](codes.md) tells merchants binds the gateway too: what is not to be sent",
        "again is not sent again unasked. If a code says no more than that, or is unknown, and an advice code names a",
        "time, then the issuer asks for it, and it is sent again at that time.",
        "",
        *markdown_table(
            ("Code", "Text", "Category", "What follows"),
            ((f"`{c.code}`", c.text, c.category_text, describe_course(c.code)) for c in declines),
        ),
        f"| any other |  |  | {describe_course('5299')} |",
        "",
        "Decided for single codes:",
        "",
        *group_reasons(table["codes"]),
    ]


def tabulate_advice(table: dict[str, Any]) -> list[str]:
    """Say what follows each advice."""
    edition = table["advice_edition"]
    return [
        "## By merchant advice code",
        "",
        "As Mastercard numbers them. Of code and advice the stricter counts. Advice that is not listed changes",
        "nothing.",
        "",
        f"Edition: {edition['name']}, effective {edition['effective']}. Source, where a row names no other:",
        f"{edition['source']}",
        "",
        *markdown_table(
            ("Advice", "Meaning", "What follows", "Why", "Source"),
            (
                (f"`{code}`", row["means"], describe_advice(code), row.get("why", ""), row.get("source", ""))
                for code, row in table["advice"].items()
            ),
        ),
    ]


def tabulate_limits(table: dict[str, Any]) -> list[str]:
    """Say how often a card may be declined."""
    return [
        "## Limits of the schemes",
        "",
        "A try with which a card could have been declined more often than this at one merchant, in any such time",
        "running, is moved to the first instant at which it could not. All declines of the card count, whatever their",
        "amount, which is never less than the schemes count.",
        "",
        *markdown_table(
            ("Brand", "Declines", "In", "Edition", "Effective", "Source"),
            (
                (
                    ", ".join(row["brands"]) or "any other",
                    str(row["declines"]),
                    describe_hours(row["hours"]),
                    *(row[name] for name in ("edition", "effective", "source")),
                )
                for row in table["limits"]
            ),
        ),
        "",
        "What was declined for good is never tried again, on any brand.",
    ]


def tabulate_policies(table: dict[str, Any]) -> list[str]:
    """Say how a site sets a schedule of its own."""
    most, longest = dunning.MOST_RETRIES, dunning.LONGEST_DAYS
    return [
        "## A site's own schedule",
        "",
        "`rebillRetryPolicy` of a [site](resources.md#sites) is one of these. Any other text is 400. Case does not",
        "matter.",
        "",
        *markdown_table(
            ("Text", "What it means"),
            (
                ("none, `default`, `enabled`, `enable`", f"Tried again {describe_days(table)}"),
                ("`disabled`, `disable`", "Not tried again: what would be, waits"),
                (
                    "days, such as `1,3,5,7`",
                    f"Tried again so many days after the due time: at most {most}, from 1 to {longest}, ascending",
                ),
            ),
        ),
        "",
        "- With `disabled` a subscription waits, because an end could not be taken back, while a new account may still",
        "  come.",
        "- Advice and limits move the tries of an own schedule too.",
        "- Where there is no next period, a schedule that is longer than dunning is carried out; dunning then ends a",
        "  day after it.",
        "- A text from before texts were checked, which is none of these, counts as `default`.",
    ]


def describe_course(code: str) -> str:
    """Say what follows a code without advice."""
    return describe(dunning.choose_course(code, None))


def describe_advice(advice_code: str) -> str:
    """Say what follows advice on a decline that would be tried again."""
    plain, advised = (dunning.choose_course("5051", advice) for advice in (None, advice_code))
    return "As the code says" if advised == plain else describe(advised)


def describe(course: dunning.Course) -> str:
    """Say what a course leads to."""
    if course.then == "retry":
        wait_hours = round(course.wait.total_seconds() / 3600)
        return f"Tried again, {describe_hours(wait_hours)} later at the earliest" if wait_hours else "Tried again"
    words = f"{'Waits' if course.then == 'hold' else 'Ends'}: {REASON_WORDS[course.reason or '']}"
    return f"{words}; so do all subscriptions on that card" if course.takes_all_on_card else words


def group_reasons(rows: dict[str, dict[str, Any]]) -> Iterable[str]:
    """List the reasons of single codes, codes with the same reason together."""
    for why in dict.fromkeys(row["why"] for row in rows.values()):
        numbers = ", ".join(f"`{code}`" for code, row in rows.items() if row["why"] == why)
        yield f"- {numbers}: {why[0].lower()}{why[1:]}."


def describe_days(table: dict[str, Any]) -> str:
    """Say the days of the default schedule in words."""
    *days, last = table["schedule"]["days"]
    return f"{', '.join(map(str, days))} and {last} days after the due time"


def describe_hours(hours: int) -> str:
    """Say hours in words, and in days from two days on."""
    count, unit = (hours // 24, "day") if hours % 24 == 0 and hours > 24 else (hours, "hour")
    return f"{count} {unit}{'' if count == 1 else 's'}"


def read_dunning() -> dict[str, Any]:
    """Read the rules as they are written."""
    return tomllib.loads(files("tollhouse.billing").joinpath("dunning.toml").read_text(encoding="utf-8"))


def page(title: str, *lines: str) -> str:
    """Put a page together."""
    return "\n".join((f"# {title}", "", MADE_BY, "", *lines, ""))


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
        "## Calls of our own",
        "",
        "What other clients do not know. Stage has more, below `/stage/`.",
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
    """Return the calls of the program, with their parameters as on the wire, and what each does."""
    document = asyncio.run(fetch_document())
    return {
        f"{method.upper()} {path}": operation["summary"]
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }


async def fetch_document() -> dict[str, Any]:
    """Fetch the OpenAPI document from the program itself, put together on nothing: it asks no database."""
    configure_logs(form="console", level="error")
    nothing: Any = None
    keys = FileKeyProvider({1: bytes(32)}, bytes(32))
    gateway = build_gateway(Settings(), Database(nothing), Vault(keys), nothing)
    transport = httpx.ASGITransport(build_web(gateway))
    async with httpx.AsyncClient(transport=transport, base_url="http://docs.example") as client:
        document: dict[str, Any] = (await client.get("/openapi.json")).json()
    return document


def markdown_table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Render rows as a Markdown table."""
    return [f"| {' | '.join(cells)} |" for cells in (head, ("---",) * len(head), *rows)]


PAGES: dict[str, Callable[[], str]] = {
    "reference/calls.md": render_calls,
    "reference/codes.md": render_codes,
    "reference/dunning.md": render_dunning,
    "reference/settings.md": render_settings,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
