"""Stable names for the random parts of recorded texts: ids, tokens, signatures and times.

A value gets its name when it first appears in a flow, so equal values have equal names and different values differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from tollhouse.simulator.cards import published_cards

#: The merchants' clock at the beginning of a flow, unless the flow keeps the real time.
VIRTUAL_START = datetime(2030, 1, 15, 12, 5, tzinfo=UTC)
#: Real times are told by quarters of an hour since the flow began: a flow may take that long, less the slack.
STEP, SLACK = timedelta(minutes=15), timedelta(minutes=2)

#: Where random values stand whose form says nothing. Each expression has one group.
PLACES = (
    ("page", re.compile(r"/(?:pay|3ds|3ds/return|3ds/method)/([A-Za-z0-9_-]{16,})")),
    ("cookie", re.compile(r"tollhouse_\w+=([^;\s]{16,})")),
    ("field", re.compile(r'<input type="hidden" name="(?!next_page)\w+" value="([^"]{16,})"')),
    ("nonce", re.compile(r"'nonce-([A-Za-z0-9_-]{16,})'")),
    ("nonce", re.compile(r' nonce="([A-Za-z0-9_-]{16,})"')),
    ("field", re.compile(r"(?:creq|cres|threeDSSessionData|threeDSMethodData|form_token|proof|try)=([^&\s]{16,})")),
    ("field", re.compile(r'(?:creq|cres|threeDSSessionData|threeDSMethodData|form_token|proof|try)":\s?"([^"]{16,})"')),
    ("cursor", re.compile(r'"cursor":"([^"]{8,})"')),
    ("cursor", re.compile(r"[?&]cursor=([^&\s]{8,})")),
    ("token", re.compile(r'"token":\s?"([^"]{16,})"')),
    ("approval", re.compile(r'"approvalCode":\s?"(\w+)"')),
    ("cavv", re.compile(r'"(?:cavv|authenticationValue)":\s?"([^"]{8,})"')),
)
#: What depends on the machine, by its place: it gets no name of its own.
MEASURED = (
    ("duration", re.compile(r'("ahead":\s?")(P\d{3,}D[^"]*)')),
    ("days", re.compile(r"(, )(\d{3,})(?= days ahead of the real time)")),
    ("day", re.compile(r"(<dt>Date</dt><dd>)([A-Z][a-z]+ \d{1,2}, \d{4})(?=</dd>)")),
    ("tag", re.compile(r'(data-tag="&#34;)([0-9a-f]{16})(?=&#34;")')),
    ("tag", re.compile(r'^(etag: ")([0-9a-f]{16})(?="$)')),
    ("seconds", re.compile(r'("advanced":\s?"P\d+D)(T\d+S)?(?=")')),
    ("signature of the second", re.compile(r"(v1,)([A-Za-z0-9+/=]{40,})")),
    ("seconds", re.compile(r'("execTime":\s?")([0-9.]+)')),
    ("milliseconds", re.compile(r'("milliseconds":\s?")([0-9.]+)')),
    ("milliseconds", re.compile(r"(>)([0-9.]+)(?= ms<)")),
    ("milliseconds", re.compile(r'(milliseconds <span class="mono wrap">)([0-9.]+)')),
    ("approval", re.compile(r'(approvalCode <span class="mono wrap">)(\w+)')),
    ("approval", re.compile(r"(>)(?!123456)([0-9A-F]{6})(?=<)")),
    ("hint", re.compile(r"(…)(\w{4})(?=</td>)")),
    ("steps", re.compile(r'("steps":\s?)(\d+)')),
)
#: What is random by its form.
FORMS = (
    ("uuid", re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b")),
    ("request", re.compile(r"\b[0-9a-f]{16}-[0-9a-f]{8}\b")),
    ("consumer", re.compile(r"\bc[0-9abcdefghjkmnpqrstvwxyz]{24}\b")),
    ("hex", re.compile(r"\b[0-9a-f]{32,}\b")),
    ("origin", re.compile(r"http://127\.0\.0\.1:(?!8080\b|9\b)\d{4,5}\b")),
)
#: No word of ours is a number so long, save the ids of the two sites.
NUMBER = re.compile(r"(?<![\d*.])(?!98375935[34]\b)\d{9,}(?![\d*])")
TIME = re.compile(r"(\d{4}-\d\d-\d\d)([ T])(\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:?\d\d)?")
#: Times for people: `15 Jan 2030, 12:05` and the like.
WRITTEN_TIME = re.compile(r"\b(\d{1,2} [A-Z][a-z]{2} \d{4}),? (\d\d:\d\d(?::\d\d)?)")


class Names:
    """The names that were given in one flow."""

    def __init__(self) -> None:
        self.started = datetime.now(UTC)
        self._known: dict[str, str] = {card.number: f"<card {name}>" for name, card in published_cards().items()}
        self._counts: dict[str, int] = {}

    def teach(self, value: str, name: str) -> None:
        """Give a value a name of the flow's own."""
        self._known[value] = f"<{name}>"

    def replace(self, text: str) -> str:
        """Return a text with names for what is random in it."""
        for kind, place in MEASURED:
            text = place.sub(rf"\1<{kind}>", text)
        for kind, place in PLACES:
            for found in place.finditer(text):
                self._name(kind, found[1])
        text = self._replace_known(text)
        text = TIME.sub(self._name_time, text)
        text = WRITTEN_TIME.sub(self._name_written_time, text)
        for kind, form in FORMS:
            text = form.sub(self._namer(kind), text)
        return NUMBER.sub(self._name_number, text)

    def _replace_known(self, text: str) -> str:
        for value in sorted(self._known, key=len, reverse=True):
            if value in text:
                text = text.replace(value, self._known[value])
        return text

    def _name(self, kind: str, value: str) -> str:
        if value not in self._known and not value.startswith("<"):
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._known[value] = f"<{kind} {self._counts[kind]}>"
        return self._known.get(value, value)

    def _namer(self, kind: str) -> Callable[[re.Match[str]], str]:
        return lambda found: self._name(kind, found[0])

    def _name_number(self, found: re.Match[str]) -> str:
        number = int(found[0])
        if 1_700_000_000 < number < 2_700_000_000:
            return f"<epoch {self._describe(datetime.fromtimestamp(number, UTC))}>"
        return self._name("id", found[0])

    def _name_time(self, found: re.Match[str]) -> str:
        day, separator, time, fraction, zone = found.groups()
        at = datetime.fromisoformat(f"{day}T{time}+00:00")
        digits = "." + "f" * (len(fraction) - 1) if fraction and zone != "+00:00" else ""  # PostgreSQL leaves out zeros
        return f"<{self._describe(at)}{separator}{digits}{zone or ''}>".replace(" >", ">")

    def _name_written_time(self, found: re.Match[str]) -> str:
        form = "%d %b %Y %H:%M:%S" if found[2].count(":") == 2 else "%d %b %Y %H:%M"
        at = datetime.strptime(f"{found[1]} {found[2]}", form).replace(tzinfo=UTC)
        return f"<{self._describe(at)}>"

    def _describe(self, at: datetime) -> str:
        """Name a time by its distance to the flow's beginning, or by its hour in the merchants' time."""
        if at.year >= VIRTUAL_START.year:
            return at.strftime("%Y-%m-%d %Hh")
        quarters = (at - self.started + SLACK) // STEP
        return "now" if quarters == 0 else f"now{quarters * 15:+}m"
