"""JSON and short texts for people: set out over lines, and as HTML that is safe to put into a page. Pure."""

from __future__ import annotations

import re
from html import escape

import msgspec

#: A name with its colon, a text, a number, a word of JSON.
_PIECE = re.compile(
    r'(?P<name>"(?:[^"\\]|\\.)*"(?=\s*:))|(?P<text>"(?:[^"\\]|\\.)*")|(?P<number>-?\d[\d.eE+-]*)|(?P<word>true|false|null)'
)
_CODE = re.compile(r"`([^`]+)`")


def set_out(content: bytes) -> str:
    """Set JSON out over lines with two spaces of indentation, its numbers and texts as they are.

    What is not JSON comes back as the text that it is.
    """
    try:
        return msgspec.json.format(content, indent=2).decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return content.decode("utf-8", "replace")


def html_of_json(text: str) -> str:
    """Return JSON as HTML, escaped, its pieces in elements of the classes `name`, `text`, `number` and `word`."""
    parts: list[str] = []
    end = 0
    for found in _PIECE.finditer(text):
        parts += [escape(text[end : found.start()]), f'<span class="{found.lastgroup}">{escape(found[0])}</span>']
        end = found.end()
    return "".join([*parts, escape(text[end:])])


def html_of_prose(text: str) -> str:
    """Return a sentence as HTML, escaped, with what stands in backquotes as code."""
    return _CODE.sub(r"<code>\1</code>", escape(text))
