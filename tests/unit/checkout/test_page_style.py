"""A shop's own colours."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollhouse.checkout.page_style import DARK_TEXT, LIGHT_TEXT, build_style, choose_text_color, read_logo

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.mark.parametrize(
    ("colour", "ink"), [("#000", LIGHT_TEXT), ("#fff", DARK_TEXT), ("#2b59c3", LIGHT_TEXT), ("#ffd400", DARK_TEXT)]
)
def test_ink_is_read_on_its_colour(colour: str, ink: str) -> None:
    """Dark colours get light ink, light ones dark ink."""
    assert choose_text_color(colour) == ink


def test_colours_with_and_without_a_sign() -> None:
    """Merchants write colours in both ways."""
    assert build_style({"linkColor": "ff6600"}) == build_style({"linkColor": "#ff6600"})
    assert "--accent:#ff6600" in build_style({"linkColor": "ff6600"})
    assert build_style({}) == ""


@settings(max_examples=60)
@given(st.text(max_size=20), st.text(max_size=20))
def test_no_other_text_gets_into_the_style(link: str, ground: str) -> None:
    """Whatever stands for a colour, the style has nothing in it but colours."""
    style = build_style({"linkColor": link, "bgBodyColor": ground, "textColor": link})
    assert set(style) <= set(":root{}-;acentigdukysofl#0123456789abcdefABCDEF")
    assert style.count("{") <= 1


@pytest.mark.parametrize("text", ["", "x", "<svg onload=alert(1)>", "PHN2Zz48L3N2Zz4AAAA=", "javascript:alert(1)"])
def test_only_images_are_logos(text: str) -> None:
    """What is no picture of a known kind is not shown."""
    assert read_logo({"logoBase64": text}) is None


def test_a_logo() -> None:
    """A picture is shown, also one that was given as the address of an image."""
    assert read_logo({"logoBase64": PNG}) == f"data:image/png;base64,{PNG}"
    assert read_logo({"logoBase64": f"data:image/png;base64,{PNG}"}) == f"data:image/png;base64,{PNG}"
