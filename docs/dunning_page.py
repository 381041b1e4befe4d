"""The page about dunning, rendered from the table of its rules."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

from markdown_pages import markdown_table, page
from tollhouse.billing import dunning
from tollhouse.kernel import codes

REASON_WORDS = {
    "cardholder_needed": "the cardholder must authenticate",
    "cardholder_stopped": "the cardholder revoked it",
    "consumer_blocked": "the consumer is blocked",
    "never_again": "declined for good",
    "new_account_needed": "the card data must change",
    "not_to_be_repeated": "a retry is unlikely to succeed",
}


def render_dunning() -> str:
    """Render the rules for failed renewals. The rules themselves compute the effect of each code."""
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
    """Render the introduction with the three possible effects."""
    return [
        "A failed renewal need not end its subscription. The next step depends on the reason of the failure.",
        "",
        *markdown_table(
            ("Next step", "Meaning"),
            (
                ("Retried", f"{describe_days(table)}; `past_due` meanwhile, `expired` if the last retry fails"),
                ("Waits", "`past_due` until the next period falls due, then `expired`, unless there is a new card"),
                ("Ends", "`expired` at once"),
            ),
        ),
        "",
        "- After a decline the gateway makes no retry at or after the due time of the next period. If the schedule's",
        "  next retry would be that late, the subscription waits.",
        "- A failure that is not a decline by the issuer (1030, 1040, 1041) ends no subscription and uses up no retry.",
        "  The renewal is retried on the schedule's next day, a day later if there is none, and in an hour if the next",
        "  period is due before that, even if the site switched retries off. Retries count from the first decline.",
        f"- If there is no next period, dunning ends {table['schedule']['end_days']} days after the due time.",
        "- The issuer's advice, or a limit of the card's scheme, may postpone a retry. If the day of the next retry is",
        "  then past, or after an outage of the gateway, the schedule continues from the last failure with the same",
        "  gaps.",
        "- New prices apply at once to the amount owed, the retries and the remaining time. If the amount owed is zero",
        "  under them, the subscription is active again. If the next period has already fallen due under them, no time",
        "  is left, and the subscription expires.",
        "- A card counts as one card at a merchant, whichever consumers have it. After a final decline, no other",
        "  subscription is charged on it: each ends when it falls due, unless its card was approved for it since.",
        "- Disabling a stored card does not affect running subscriptions.",
        "- Renewals of a disabled merchant wait, without attempts and without expiry. Cancellations take effect in",
        "  time.",
        "- A consumer on the blacklist is not charged: the subscription ends when its next renewal is blocked with",
        "  1001. Other consumers with the same card keep theirs.",
        "",
        f"Edition {table['edition']['name']}, {table['edition']['date'].isoformat()}.",
    ]


def tabulate_codes(table: dict[str, Any]) -> list[str]:
    """Render the effect of each code of a renewal."""
    declines = (code for code in codes.list_codes() if code.code not in {codes.APPROVED, codes.ORDER_EXPIRED})
    return [
        "## By code",
        "",
        "The gateway follows the table of [payment codes](codes.md) itself: it does not retry a payment that should",
        "not be sent again. If a code says no more than that, or is unknown, and an advice code names a",
        "time, then the issuer asks for a retry, and the gateway makes it at that time.",
        "",
        *markdown_table(
            ("Code", "Text", "Category", "Next step"),
            ((f"`{c.code}`", c.text, c.category_text, describe_course(c.code)) for c in declines),
        ),
        f"| any other |  |  | {describe_course('5299')} |",
        "",
        "Reasons for single codes:",
        "",
        *group_reasons(table["codes"]),
    ]


def tabulate_advice(table: dict[str, Any]) -> list[str]:
    """Render the effect of each merchant advice code."""
    edition = table["advice_edition"]
    return [
        "## By merchant advice code",
        "",
        "The codes are Mastercard's. The stricter of code and advice counts. Advice that is not listed has no",
        "effect.",
        "",
        f"Edition: {edition['name']}, effective {edition['effective']}. Source, unless a row names another:",
        f"{edition['source']}",
        "",
        *markdown_table(
            ("Advice", "Meaning", "Next step", "Reason", "Source"),
            (
                (f"`{code}`", row["means"], describe_advice(code), row.get("why", ""), row.get("source", ""))
                for code, row in table["advice"].items()
            ),
        ),
    ]


def tabulate_limits(table: dict[str, Any]) -> list[str]:
    """Render the limits of the schemes for declines of a card."""
    return [
        "## Limits of the schemes",
        "",
        "The schemes limit the declines of a card at one merchant in any period of the given length. An attempt that",
        "could exceed a limit is postponed to the first instant at which it cannot. All declined renewals of the card",
        "count, for every amount and every consumer.",
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
        "A renewal with a final decline is never retried, with any brand.",
    ]


def tabulate_policies(table: dict[str, Any]) -> list[str]:
    """Render the values of a site's own schedule."""
    most, longest = dunning.MAX_RETRIES, dunning.MAX_DAYS
    return [
        "## A site's own schedule",
        "",
        "`rebillRetryPolicy` of a [site](resources.md#sites) is one of these. Any other text is 400. Case is",
        "ignored.",
        "",
        *markdown_table(
            ("Text", "Meaning"),
            (
                ("none, `default`, `enabled`, `enable`", f"Retried {describe_days(table)}"),
                ("`disabled`, `disable`", "Not retried: the subscription waits instead"),
                (
                    "days, such as `1,3,5,7`",
                    f"Retried that many days after the due time: at most {most}, from 1 to {longest}, ascending",
                ),
            ),
        ),
        "",
        "- With `disabled` a subscription waits, because it could not be restored after its end, while there may still",
        "  be a new card.",
        "- Advice and limits also postpone the retries of a site's own schedule.",
        "- If there is no next period, all retries of a schedule that is longer than dunning are made; dunning then",
        "  ends a day after the last.",
        "- A stored text that is none of these, from before texts were checked, counts as `default`.",
    ]


def describe_course(code: str) -> str:
    """Describe the effect of a code without advice."""
    return describe(dunning.choose_rule(code, None))


def describe_advice(advice_code: str) -> str:
    """Describe the effect of advice on a decline that would be retried."""
    plain, advised = (dunning.choose_rule("5051", advice) for advice in (None, advice_code))
    return "As for the code" if advised == plain else describe(advised)


def describe(course: dunning.DunningRule) -> str:
    """Describe a dunning rule."""
    if course.then == "retry":
        wait_hours = round(course.wait.total_seconds() / 3600)
        return f"Retried, {describe_hours(wait_hours)} later at the earliest" if wait_hours else "Retried"
    words = f"{'Waits' if course.then == 'await_card' else 'Ends'}: {REASON_WORDS[course.reason or '']}"
    return f"{words}; so do all subscriptions on that card" if course.takes_all_on_card else words


def group_reasons(rows: dict[str, dict[str, Any]]) -> Iterable[str]:
    """List the reasons of single codes, codes with the same reason together."""
    for why in dict.fromkeys(row["why"] for row in rows.values()):
        numbers = ", ".join(f"`{code}`" for code, row in rows.items() if row["why"] == why)
        yield f"- {numbers}: {why[0].lower()}{why[1:]}."


def describe_days(table: dict[str, Any]) -> str:
    """Describe the days of the default schedule in words."""
    *days, last = table["schedule"]["days"]
    return f"{', '.join(map(str, days))} and {last} days after the due time"


def describe_hours(hours: int) -> str:
    """Describe hours in words, and from two days on in days."""
    count, unit = (hours // 24, "day") if hours % 24 == 0 and hours > 24 else (hours, "hour")
    return f"{count} {unit}{'' if count == 1 else 's'}"


def read_dunning() -> dict[str, Any]:
    """Read the table of rules."""
    return tomllib.loads(files("tollhouse.billing").joinpath("dunning.toml").read_text(encoding="utf-8"))
