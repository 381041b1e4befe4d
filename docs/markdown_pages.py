"""How the pages that come from the code are written."""

from __future__ import annotations

from collections.abc import Iterable

MADE_BY = "<!-- Written by docs/generate.py (make docs); change the code, not this page. -->"


def page(title: str, *lines: str) -> str:
    """Put a page together."""
    return "\n".join((f"# {title}", "", MADE_BY, "", *lines, ""))


def markdown_table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Render rows as a Markdown table."""
    return [f"| {' | '.join(cells)} |" for cells in (head, ("---",) * len(head), *rows)]
