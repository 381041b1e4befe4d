"""Examples of requests and answers, by the names of their models, for the OpenAPI document and its page.

A test holds every one of them against its model.
"""

from __future__ import annotations

import json
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any


def examples_of(model_name: str) -> dict[str, Any]:
    """Return the examples of a model by their titles, the plainest first; none where there are none."""
    examples: dict[str, Any] = all_examples().get(model_name, {})
    return examples


@cache
def all_examples() -> dict[str, dict[str, Any]]:
    """Return every example by model and title; amounts are decimals."""
    text = files(__package__).joinpath("examples.json").read_text(encoding="utf-8")
    content: dict[str, dict[str, Any]] = json.loads(text, parse_float=Decimal)
    return content
