"""Format JSON and short texts for people: indented, and as HTML that is safe to insert into a page."""

from __future__ import annotations

import re
from html import escape

import msgspec

#: A name with its colon, a text, a number, or a JSON literal.
_PIECE = re.compile(
    r'(?P<name>"(?:[^"\\]|\\.)*"(?=\s*:))|(?P<text>"(?:[^"\\]|\\.)*")|(?P<number>-?\d[\d.eE+-]*)|(?P<word>true|false|null)'
)
_CODE = re.compile(r"`([^`]+)`")


def set_out(content: bytes) -> str:
    """Indent JSON by two spaces, keeping its numbers and texts.

    Return a text that is not JSON unchanged.
    """
    try:
        return msgspec.json.format(content, indent=2).decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return content.decode("utf-8", "replace")


def html_of_json(text: str) -> str:
    """Return JSON as escaped HTML, with its parts in elements of the classes `name`, `text`, `number` and `word`."""
    parts: list[str] = []
    end = 0
    for found in _PIECE.finditer(text):
        parts += [escape(text[end : found.start()]), f'<span class="{found.lastgroup}">{escape(found[0])}</span>']
        end = found.end()
    return "".join([*parts, escape(text[end:])])


def html_of_prose(text: str) -> str:
    """Return a sentence as escaped HTML, with backquoted parts as code."""
    return _CODE.sub(r"<code>\1</code>", escape(text))
