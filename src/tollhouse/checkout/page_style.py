"""A shop's colors and logo on its payment page.

Only valid colors are used, and the text color on each is chosen for contrast, so that every choice of a merchant is
readable. The style is part of the page, and its digest part of the content security policy.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Any

COLOR = re.compile(r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})")
#: Supported logos: base64 of PNG, JPEG, GIF or WebP.
IMAGE_KINDS = {"iVBORw0KGgo": "png", "/9j/": "jpeg", "R0lGOD": "gif", "UklGR": "webp"}
BASE64 = re.compile(r"[A-Za-z0-9+/]{16,}={0,2}")
MAX_LOGO_LENGTH = 300_000

#: Below this luminance white text has more contrast than black (WCAG 2.2, relative luminance).
MAX_DARK_LUMINANCE = 0.179
DARK_TEXT, LIGHT_TEXT = "#14181f", "#ffffff"


def build_style(settings: Mapping[str, Any]) -> str:
    """Return the shop's colors as a style sheet, or an empty text."""
    accent, ground = _read_color(settings.get("linkColor")), _read_color(settings.get("bgBodyColor"))
    rules = []
    if accent:
        rules += [f"--accent:{accent}", f"--accent-ink:{choose_text_color(accent)}"]
    if ground:
        rules += [
            f"--ground:{ground}",
            f"--ground-ink:{choose_text_color(ground)}",
            f"--ground-soft:{choose_text_color(ground)}",
        ]
    return f":root{{{';'.join(rules)}}}" if rules else ""


def build_style_source(style: str) -> str:
    """Return the digest of a style for a content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'"


def read_logo(settings: Mapping[str, Any]) -> str | None:
    """Return the shop's logo as a data URL, or None if there is no valid one."""
    text = str(settings.get("logoBase64") or "").rpartition(",")[2].strip()
    if not 16 <= len(text) <= MAX_LOGO_LENGTH or not BASE64.fullmatch(text):
        return None
    kind = next((kind for start, kind in IMAGE_KINDS.items() if text.startswith(start)), None)
    return f"data:image/{kind};base64,{text}" if kind else None


def choose_text_color(color: str) -> str:
    """Return the text color with the best contrast on a color."""
    digits = color[1:] if len(color) == 7 else "".join(digit * 2 for digit in color[1:])
    red, green, blue = (_linear(int(digits[start : start + 2], 16) / 255) for start in (0, 2, 4))
    return LIGHT_TEXT if 0.2126 * red + 0.7152 * green + 0.0722 * blue < MAX_DARK_LUMINANCE else DARK_TEXT


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)


def _read_color(value: Any) -> str | None:
    text = str(value or "").strip()
    text = text if text.startswith("#") else f"#{text}"
    return text if COLOR.fullmatch(text) else None
