"""Convert terms to a JSON column and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from tollhouse.catalog.model import price_from_json, price_to_json
from tollhouse.links.model import FeeRule, Terms
from tollhouse.notices.model import ReceiptRequest
from tollhouse.payments.model import Item
from tollhouse.wire.render import render_json

#: Fields of Terms that need no conversion.
PLAIN = tuple(field.name for field in fields(Terms) if field.name not in {"items", "fee_rules", "receipt"})


def write_terms(terms: Terms) -> str:
    """Serialize terms for their column."""
    content = {name: getattr(terms, name) for name in PLAIN}
    content["items"] = [_write_item(item) for item in terms.items]
    content["fee_rules"] = [[rule.kind, rule.country, rule.method, rule.amount_minor] for rule in terms.fee_rules]
    content["receipt"] = [terms.receipt.to, terms.receipt.language] if terms.receipt else None
    return render_json(content).decode()


def read_terms(text: str) -> Terms:
    """Parse terms from their column."""
    content = json.loads(text)
    return Terms(
        items=tuple(_read_item(item) for item in content["items"]),
        fee_rules=tuple(FeeRule(*rule) for rule in content["fee_rules"]),
        receipt=ReceiptRequest(*content["receipt"]) if content.get("receipt") else None,
        **{name: content[name] for name in PLAIN if name in content},
    )


def _write_item(item: Item) -> dict[str, Any]:
    return {
        "site_id": item.site_id,
        "sku_name": item.sku_name,
        "title": item.title,
        "prices": [price_to_json(price) for price in item.prices],
        "extras": dict(item.extras),
    }


def _read_item(content: Mapping[str, Any]) -> Item:
    prices = tuple(price_from_json(price) for price in content["prices"])
    return Item(content["site_id"], content["sku_name"], content["title"], prices, content["extras"])
