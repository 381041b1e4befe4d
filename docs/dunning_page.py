"""The page that says what follows a declined renewal, from the table by which it does."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

from markdown_pages import markdown_table, page
from tollhouse.billing import dunning
from tollhouse.kernel import codes

REASON_WORDS = {
    "cardholder_needed": "the cardholder has to authenticate",
    "cardholder_stopped": "the cardholder revoked it",
    "consumer_blocked": "the consumer is blocked",
    "never_again": "declined for good",
    "new_account_needed": "the data has to change",
    "not_to_be_repeated": "sending it again will hardly help",
}


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
        "- After a decline no try is made when the next period falls due or later. If the schedule's next one would",
        "  be, the subscription waits.",
        "- What was no decline of the issuer's (1030, 1040, 1041) ends no subscription and uses up no try. It is",
        "  tried again on the schedule's next day, a day later where there is none, and in an hour where the next",
        "  period is due before that; also where a site wants no retries. The tries begin with the first decline.",
        f"- Where there is no next period, dunning ends {table['schedule']['end_days']} days after the due time.",
        "- A try is moved to later by the issuer's advice, or by a limit of the card's scheme. If the day of the next",
        "  one is then past, or the gateway was down, the schedule goes on from the last failure with the same gaps.",
        "- Other prices count at once: what is owed, the tries and the time that is left are those of the new ones.",
        "  If what is owed costs nothing by them, the subscription is active again, whatever it waited for. If the",
        "  next period has fallen due by them already, no time is left, and the subscription expires.",
        "- A card is one card at a merchant, whatever consumers have it. Once it was declined for good, no other",
        "  subscription is tried on it: each ends when it falls due, unless its card was approved for it since.",
        "- A disabled payment account does not matter: running subscriptions are left alone.",
        "- Renewals of a disabled merchant wait, untried and unexpired. Cancellations take effect in time.",
        "- A consumer on the blacklist is not charged: the subscription ends as its next renewal is refused with 1001.",
        "  Other consumers with the same card keep theirs.",
        "",
        f"Edition {table['edition']['name']}, {table['edition']['date'].isoformat()}.",
    ]


def tabulate_codes(table: dict[str, Any]) -> list[str]:
    """Say what follows each code of a renewal."""
    declines = (code for code in codes.list_codes() if code.code not in {codes.APPROVED, codes.ORDER_EXPIRED})
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
        "running, is moved to the first instant at which it could not. All declined renewals of the card count,",
        "whatever their amount and whoever the consumer.",
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
    most, longest = dunning.MAX_RETRIES, dunning.MAX_DAYS
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


def describe(course: dunning.DunningRule) -> str:
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
