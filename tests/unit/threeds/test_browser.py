"""Browser data: complete or missing, and tolerant of the variants that shops send."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tollhouse.threeds.model import BrowserData

#: As the public plugin sends it: numbers as texts, the zone in hours west of UTC.
PLUGIN = {
    "ip": "203.0.113.45",
    "userAgent": "Mozilla/5.0",
    "browserAcceptHeader": "text/html",
    "browserLanguage": "en",
    "browserJavaEnabled": True,
    "browserColorDepth": "24",
    "browserScreenHeight": "1080",
    "browserScreenWidth": "1920",
    "browserTimezone": "-5.5",
}

HEADERS = {"accept": "text/html", "user-agent": "Mozilla/5.0", "accept-language": "de-DE,de;q=0.9"}


def test_the_plugins_texts_are_read() -> None:
    """Numbers may be texts and the zone hours with a fraction."""
    browser = BrowserData.from_consumer(PLUGIN)
    assert browser == BrowserData(
        accept_header="text/html",
        user_agent="Mozilla/5.0",
        language="en",
        ip="203.0.113.45",
        javascript_enabled=True,
        java_enabled=True,
        color_depth=24,
        screen_height=1080,
        screen_width=1920,
        timezone_minutes=-330,
    )


@pytest.mark.parametrize("missing", sorted(PLUGIN))
@pytest.mark.parametrize("value", [None, ""])
def test_all_or_nothing(missing: str, value: Any) -> None:
    """One field that is missing or empty, and there is no browser."""
    assert BrowserData.from_consumer({**PLUGIN, missing: value}) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("browserColorDepth", "many"),
        ("browserColorDepth", 0),
        ("browserScreenHeight", -1),
        ("browserScreenWidth", 1_000_000),
        ("browserScreenWidth", True),
        ("browserTimezone", "Europe/Berlin"),
        ("browserTimezone", "NaN"),
        ("browserTimezone", "900"),
        ("browserJavaEnabled", "perhaps"),
        ("browserLanguage", "deutschundmehr"),
        ("browserLanguage", "e\N{COMBINING ACUTE ACCENT}"),
        ("userAgent", 7),
    ],
)
def test_nonsense_counts_as_missing(name: str, value: Any) -> None:
    """Impossible values are collected by our page instead."""
    assert BrowserData.from_consumer({**PLUGIN, name: value}) is None


@pytest.mark.parametrize(
    ("zone", "minutes"),
    [("0", 0), (0, 0), ("-5.5", -330), ("5.75", 345), (Decimal("-5.5"), -330), ("14", 840), ("-330", -330), (480, 480)],
)
def test_the_zone_in_hours_or_minutes(zone: Any, minutes: int) -> None:
    """No zone is as far as 15 hours or as near as 15 minutes, so the number tells its unit."""
    browser = BrowserData.from_consumer({**PLUGIN, "browserTimezone": zone})
    assert browser is not None
    assert browser.timezone_minutes == minutes


@pytest.mark.parametrize(("depth", "known"), [("30", 24), (24, 24), (64, 48), ("1", 1), (3, 1), ("15", 15)])
def test_the_nearest_depth_that_emv_knows(depth: Any, known: int) -> None:
    """EMV 3DS lists the depths that there are; a screen with another one has the next smaller."""
    browser = BrowserData.from_consumer({**PLUGIN, "browserColorDepth": depth})
    assert browser is not None
    assert browser.color_depth == known


@pytest.mark.parametrize(("tag", "short"), [("zh-Hans-CN", "zh-Hans"), ("en-US", "en-US"), ("de", "de")])
def test_long_language_tags_are_cut_between_their_parts(tag: str, short: str) -> None:
    """EMV 3DS has room for eight characters."""
    browser = BrowserData.from_consumer({**PLUGIN, "browserLanguage": tag})
    assert browser is not None
    assert browser.language == short


def test_the_page_collects_with_a_script() -> None:
    """The values posted by our script, with the headers of the request, are complete browser data."""
    form = {name: str(value).lower() for name, value in PLUGIN.items() if name.startswith("browser")}
    browser = BrowserData.from_page(form, HEADERS, ip="198.51.100.7")
    assert browser.javascript_enabled
    assert (browser.java_enabled, browser.ip) == (True, "198.51.100.7")


@pytest.mark.parametrize(
    ("ip", "told"), [("2001:DB8::1", "2001:db8::1"), ("fe80::1%eth0", "fe80::1"), ("unknown", ""), ("", "")]
)
def test_an_address_that_is_none_costs_nothing_else(ip: str, told: str) -> None:
    """Behind a proxy that says nonsense, or on a Unix socket, the rest of the browser is told all the same."""
    form = {name: str(value).lower() for name, value in PLUGIN.items() if name.startswith("browser")}
    browser = BrowserData.from_page(form, HEADERS, ip=ip)
    assert (browser.ip, browser.javascript_enabled) == (told, True)
    assert BrowserData.from_page({}, HEADERS, ip=ip).ip == told


def test_unprintable_characters_are_dropped() -> None:
    """A NUL or half a surrogate pair would break the row and the message."""
    browser = BrowserData.from_consumer({**PLUGIN, "userAgent": "Mozilla\x00/5.0\ud800\n"})
    assert browser is not None
    assert browser.user_agent == "Mozilla/5.0"


@pytest.mark.parametrize("headers", [HEADERS, {}])
def test_the_page_collects_without_a_script(headers: dict[str, str]) -> None:
    """Without a script the headers are all that is known, and that there is no script."""
    browser = BrowserData.from_page({}, headers, ip="198.51.100.7")
    assert not browser.javascript_enabled
    assert browser.color_depth is browser.java_enabled is browser.timezone_minutes is None
    assert browser.language == ("de-DE" if headers else "en")
