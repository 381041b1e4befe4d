"""The account updater: changes of cards, as Visa and Mastercard report them to acquirers."""

from __future__ import annotations

from typing import Any

import msgspec

from tollhouse.kernel.card import CardNumber, Expiry
from tollhouse.simulator.cards import find_card, published_cards
from tollhouse.simulator.messages import MessageCard, Reference, SimulatorMessage, decode, decode_card_number, encode
from tollhouse.simulator.model import PublishedCard


class _Query(SimulatorMessage):
    reference: Reference
    card: MessageCard


_query = msgspec.json.Decoder(_Query, dec_hook=decode_card_number)


async def update_account(body: bytes) -> bytes:
    """Return the change of a card. A card that is not published, or has the newest expiry, has none.

    Raises Invalid.
    """
    query: _Query = decode(_query, body)
    card = find_card(query.card.number)
    return encode({"reference": query.reference} | _describe(card, query.card))


def _describe(card: PublishedCard | None, shown: MessageCard) -> dict[str, Any]:
    if card is None or card.updater is None:
        return {"result": "unchanged"}
    if card.updater in {"closed", "ask_cardholder"}:
        return {"result": card.updater}
    number = published_cards()[card.replaced_by].number if card.replaced_by else card.number
    expiry = _read_expiry(card)
    if (CardNumber(number), expiry) == (shown.number, Expiry(shown.expiry_month, shown.expiry_year)):
        return {"result": "unchanged"}
    fields = {"number": number, "expiryMonth": expiry.month, "expiryYear": expiry.year}
    return {"result": "updated", "card": fields}


def _read_expiry(card: PublishedCard) -> Expiry:
    year, _, month = (card.new_expiry or "").partition("-")
    return Expiry(int(month), int(year))
