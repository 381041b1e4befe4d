"""A shop's own colours on its payment page.

What a site says of them is taken only where it is a colour; the ink on a colour is chosen for contrast, so that no
choice of a merchant's makes a page that cannot be read. The style stands in the page, and its digest in the policy.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Any

COLOUR = re.compile(r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})")
#: Images that browsers show in place of text, as the site has them: base64 of PNG, JPEG, GIF or WebP.
IMAGE_KINDS = {"iVBORw0KGgo": "png", "/9j/": "jpeg", "R0lGOD": "gif", "UklGR": "webp"}
BASE64 = re.compile(r"[A-Za-z0-9+/]{16,}={0,2}")
MAX_LOGO_LENGTH = 300_000

#: Below this luminance white ink has more contrast than black (WCAG 2.2, relative luminance).
MIDDLE = 0.179
DARK_INK, LIGHT_INK = "#14181f", "#ffffff"


def build_style(looks: Mapping[str, Any]) -> str:
    """Return the shop's colours as a style sheet, or nothing."""
    accent, ground = _read_colour(looks.get("linkColor")), _read_colour(looks.get("bgBodyColor"))
    rules = []
    if accent:
        rules += [f"--accent:{accent}", f"--accent-ink:{choose_ink(accent)}"]
    if ground:
        rules += [f"--ground:{ground}", f"--ground-ink:{choose_ink(ground)}", f"--ground-soft:{choose_ink(ground)}"]
    return f":root{{{';'.join(rules)}}}" if rules else ""


def name_digest(style: str) -> str:
    """Return the digest of a style as a policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'"


def read_logo(looks: Mapping[str, Any]) -> str | None:
    """Return the shop's logo as the address of an image, or None where there is none that may be shown."""
    text = str(looks.get("logoBase64") or "").rpartition(",")[2].strip()
    if not 16 <= len(text) <= MAX_LOGO_LENGTH or not BASE64.fullmatch(text):
        return None
    kind = next((kind for start, kind in IMAGE_KINDS.items() if text.startswith(start)), None)
    return f"data:image/{kind};base64,{text}" if kind else None


def choose_ink(colour: str) -> str:
    """Return the ink that is read best on a colour."""
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    red, green, blue = (_linear(int(digits[start : start + 2], 16) / 255) for start in (0, 2, 4))
    return LIGHT_INK if 0.2126 * red + 0.7152 * green + 0.0722 * blue < MIDDLE else DARK_INK


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)


def _read_colour(value: Any) -> str | None:
    text = str(value or "").strip()
    text = text if text.startswith("#") else f"#{text}"
    return text if COLOUR.fullmatch(text) else None
