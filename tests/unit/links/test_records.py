"""Terms as they are stored."""

from __future__ import annotations

from tollhouse.catalog.model import Price
from tollhouse.catalog.prices import parse_offset
from tollhouse.kernel.money import Currency, Money
from tollhouse.links.model import FeeRule, Terms
from tollhouse.links.store import read_terms, write_terms
from tollhouse.notices.model import ReceiptRequest
from tollhouse.payments.model import Item


def test_terms_come_back_as_they_were() -> None:
    """Serialized terms parse to equal terms, in every field."""
    price = Price(parse_offset("30d"), Money(2_999, Currency.of("EUR")), repeat=3)
    terms = Terms(
        items=(Item(7, "NAME", "Title", (price,), {"domainName": "shop.example"}), Item(8, None, "", (price,))),
        consumer={"firstName": "Zoë", "country": "DEU"},
        consumer_id="c1",
        external_id="user-1",
        consumer_ip="203.0.113.1",
        metadata='{"a":[1]}',
        ipn_url="https://shop.example/ipn",
        redirect_url="https://shop.example/",
        fee_rules=(FeeRule("processing", "ALL", "card", 50),),
        language="de",
        asks_authentication=True,
        emulate_code="5051",
        mid="123",
        receipt=ReceiptRequest("jane@shop.example", "de"),
    )
    assert read_terms(write_terms(terms)) == terms
