"""The published test cards. The table is data (`cards.toml`), loaded once."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from tollhouse.kernel.card import CardNumber
from tollhouse.simulator.model import DeliveryMode, PublishedCard


def find_card(number: CardNumber) -> PublishedCard | None:
    """Return the published card with this number, or None."""
    return _by_number().get(number)


def names_of(card: PublishedCard) -> tuple[str, ...]:
    """Return the names of a card and of those that it replaced.

    Network transaction IDs of all of them are valid for it.
    """
    return (card.name, *(other.name for other in published_cards().values() if other.replaced_by == card.name))


@cache
def published_cards() -> Mapping[str, PublishedCard]:
    """Return the published cards by name, in the order of the table."""
    table = tomllib.loads(files(__package__).joinpath("cards.toml").read_text(encoding="utf-8"))
    return {name: _read(name, row) for name, row in table.items()}


def _read(name: str, row: dict[str, Any]) -> PublishedCard:
    ways = {key: DeliveryMode(row.get(key, "prompt")) for key in ("delivery", "operation_delivery")}
    return PublishedCard(**{**row, **ways, "name": name})


@cache
def _by_number() -> dict[CardNumber, PublishedCard]:
    return {CardNumber.parse(card.number): card for card in published_cards().values()}
