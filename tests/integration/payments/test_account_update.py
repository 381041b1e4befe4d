"""Updates of stored cards by the account updater."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.support.shop import MERCHANT, NUMBER, OTHER_MERCHANT, OTHER_NUMBER, Shop, card

from tollhouse.acquirers.model import Closed, NotSent, Unchanged, Updated
from tollhouse.kernel.card import Card
from tollhouse.kernel.errors import NotFound
from tollhouse.payments.charge.account_update import apply_update, query_updater
from tollhouse.payments.charge.wallet import StoredCard, select_card
from tollhouse.vault.accounts import update_account_disabled

THIRD_NUMBER = "4000006966642547"


async def keep(shop: Shop, **changes: Any) -> tuple[UUID, str]:
    """Pay with a card, and return its stored card and its consumer."""
    paid = await shop.pay(**changes)
    return UUID(paid.payment["source"]["paymentAccountId"]), paid.body["consumer"]["id"]


async def update(shop: Shop, account_id: UUID, updated: Card, merchant_id: int = MERCHANT) -> UUID:
    """Apply an update."""
    async with shop.parts.database.transaction() as connection:
        return await apply_update(
            connection, shop.parts.vault, merchant_id=merchant_id, account_id=account_id, card=updated
        )


async def stored(shop: Shop, account_id: UUID) -> StoredCard:
    """Return the card of a stored card's ID."""
    async with shop.parts.database.acquire() as connection:
        account = await select_card(connection, merchant_id=MERCHANT, account_id=account_id)
    assert account is not None
    return account


def opened(shop: Shop, account: StoredCard) -> Card:
    """Open a stored card."""
    return shop.parts.vault.open_card(account.card, merchant_id=MERCHANT, account_id=account.account_id)


async def rows(shop: Shop) -> list[tuple[Any, ...]]:
    """Return the stored rows of cards, without sealed values."""
    found = await shop.fetch(
        """
        select account_id, replaced_by, masked_number, expiry_month, expiry_year, network_transaction_id, disabled
        from account order by account_id
        """
    )
    return [tuple(row) for row in found]


async def test_a_new_date_updates_the_card(shop: Shop) -> None:
    """A new date updates the stored card and its sealed card; its ID and agreement stay."""
    account_id, _ = await keep(shop)
    before = await stored(shop, account_id)
    renewed = card(month=1, year=2035)
    for _ in range(2):
        assert await update(shop, account_id, renewed) == account_id
    after = await stored(shop, account_id)
    assert (after.expiry_month, after.expiry_year) == (1, 2035)
    assert opened(shop, after) == renewed
    assert after.network_transaction_id == before.network_transaction_id
    assert len(await rows(shop)) == 1


async def test_a_new_number_makes_a_new_stored_card(shop: Shop) -> None:
    """A new number is another stored card with the old agreement, and the old ID leads to it."""
    account_id, consumer_id = await keep(shop)
    before = await stored(shop, account_id)
    new_id = await update(shop, account_id, card(OTHER_NUMBER, year=2035))
    assert new_id != account_id
    expected = shop.parts.vault.account_id(
        merchant_id=MERCHANT,
        consumer_id=consumer_id,
        fingerprint=shop.parts.vault.fingerprint(card(OTHER_NUMBER).number, merchant_id=MERCHANT),
    )
    assert new_id == expected
    for named in (account_id, new_id):
        found = await stored(shop, named)
        assert found.account_id == new_id
        assert found.network_transaction_id == before.network_transaction_id
        assert (found.masked_number, found.expiry_year) == ("411111****1111", 2035)
        assert opened(shop, found) == card(OTHER_NUMBER, year=2035)
    last = await shop.value("select last_account_id from consumer")
    assert last == new_id


async def test_a_replaced_id_charges_the_new_card(shop: Shop) -> None:
    """A payment by the old ID, or as the consumer, charges the new card, and the response names it."""
    account_id, consumer_id = await keep(shop)
    new_id = await update(shop, account_id, card(OTHER_NUMBER, year=2035))
    agreement = (await stored(shop, new_id)).network_transaction_id
    for source in ({"account_id": account_id}, {"source_consumer_id": consumer_id}, {"account_id": new_id}):
        for initiator in ("customer", "merchant"):
            paid = await shop.pay(**source, initiator=initiator)
            assert paid.outcome == ("success", "0")
            assert paid.payment["source"]["paymentAccountId"] == str(new_id)
            assert paid.payment["source"]["number"] == "411111****1111"
            asked = shop.acquirer.asked[-1]
            assert asked.card.number == card(OTHER_NUMBER).number
            assert asked.network_transaction_id == agreement


async def test_an_update_can_be_repeated(shop: Shop) -> None:
    """The same update under either ID, later or concurrently, changes nothing more."""
    account_id, _ = await keep(shop)
    updated = card(OTHER_NUMBER, year=2035)
    new_id = await update(shop, account_id, updated)
    after = await rows(shop)
    again = await asyncio.gather(*(update(shop, named, updated) for named in (account_id, new_id, account_id)))
    assert set(again) == {new_id}
    assert await rows(shop) == after


async def test_concurrent_first_updates_make_one_card(shop: Shop) -> None:
    """The same first update from several workers creates one stored card."""
    account_id, _ = await keep(shop)
    made = await asyncio.gather(*(update(shop, account_id, card(OTHER_NUMBER)) for _ in range(4)))
    assert len(set(made)) == 1
    assert len(await rows(shop)) == 2


async def test_all_old_ids_lead_to_the_newest_card(shop: Shop) -> None:
    """All old IDs lead to the newest card, also if an old number returns."""
    first, consumer_id = await keep(shop)
    second = await update(shop, first, card(OTHER_NUMBER))
    third = await update(shop, second, card(THIRD_NUMBER))
    for named in (first, second, third):
        assert (await stored(shop, named)).account_id == third
    assert await update(shop, first, card(NUMBER, year=2036)) == first
    for named in (first, second, third):
        assert (await stored(shop, named)).account_id == first
    paid = await shop.pay(source_consumer_id=consumer_id)
    assert paid.payment["source"]["paymentAccountId"] == str(first)


async def test_a_known_new_number_keeps_its_agreement(shop: Shop) -> None:
    """A new number that the consumer used before keeps its own agreement."""
    old, _ = await keep(shop)
    own, _ = await keep(shop, number=OTHER_NUMBER)
    agreement = (await stored(shop, own)).network_transaction_id
    assert await update(shop, old, card(OTHER_NUMBER, year=2035)) == own
    found = await stored(shop, old)
    assert (found.account_id, found.network_transaction_id, found.expiry_year) == (own, agreement, 2035)


async def test_a_payment_with_the_old_number_revives_it(shop: Shop) -> None:
    """After a payment with the old number its ID does not lead to another card any more."""
    account_id, _ = await keep(shop)
    await update(shop, account_id, card(OTHER_NUMBER))
    again, _ = await keep(shop)
    assert again == account_id
    assert (await stored(shop, account_id)).account_id == account_id


async def test_a_disabled_card_stays_disabled(shop: Shop) -> None:
    """The replacement of a disabled card is disabled. A switch by any of its IDs applies to all of them."""
    account_id, _ = await keep(shop)
    other, _ = await keep(shop, external_id="user-2")

    async def switch(named: UUID, *, disabled: bool) -> None:
        async with shop.parts.database.acquire() as connection:
            assert await update_account_disabled(connection, merchant_id=MERCHANT, account_id=named, disabled=disabled)

    await switch(account_id, disabled=True)
    new_id = await update(shop, account_id, card(OTHER_NUMBER))
    assert (await shop.pay(account_id=account_id)).outcome == ("fail", "1020")
    for named, disabled in ((account_id, False), (new_id, True), (new_id, False), (account_id, True)):
        await switch(named, disabled=disabled)
        outcome = ("fail", "1020") if disabled else ("success", "0")
        for paying in (account_id, new_id):
            assert (await shop.pay(account_id=paying)).outcome == outcome
    assert (await shop.pay(account_id=other)).outcome == ("success", "0")


async def test_another_merchants_card_is_not_found(shop: Shop) -> None:
    """Another merchant's card and an unknown one are not found, and nothing is written."""
    account_id, _ = await keep(shop)
    before = await rows(shop)
    for named, merchant_id in ((account_id, OTHER_MERCHANT), (uuid4(), MERCHANT)):
        with pytest.raises(NotFound):
            await update(shop, named, card(OTHER_NUMBER), merchant_id)
        with pytest.raises(NotFound):
            await query_updater(shop.parts.card_updates, merchant_id=merchant_id, account_id=named)
    assert await rows(shop) == before


async def test_a_rolled_back_update_leaves_nothing(shop: Shop) -> None:
    """An update whose database transaction is rolled back changes nothing."""
    account_id, _ = await keep(shop)
    before = await rows(shop)

    async def give_up() -> None:
        async with shop.parts.database.transaction() as connection:
            await apply_update(
                connection, shop.parts.vault, merchant_id=MERCHANT, account_id=account_id, card=card(OTHER_NUMBER)
            )
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await give_up()
    assert await rows(shop) == before


async def test_the_updater_is_queried_about_the_current_card(shop: Shop) -> None:
    """The query contains the stored card; for an old ID it contains the current card."""
    account_id, _ = await keep(shop)
    assert await query_updater(shop.parts.card_updates, merchant_id=MERCHANT, account_id=account_id) == Unchanged()
    shop.acquirer.updates.extend([Updated(card(OTHER_NUMBER)), Closed(), NotSent("connection refused")])
    found = await query_updater(shop.parts.card_updates, merchant_id=MERCHANT, account_id=account_id)
    assert isinstance(found, Updated)
    await update(shop, account_id, found.card)
    assert await query_updater(shop.parts.card_updates, merchant_id=MERCHANT, account_id=account_id) == Closed()
    assert isinstance(
        await query_updater(shop.parts.card_updates, merchant_id=MERCHANT, account_id=account_id), NotSent
    )
    assert [query.card for query in shop.acquirer.queried] == [card(), card(), card(OTHER_NUMBER), card(OTHER_NUMBER)]
    assert {query.acceptor for query in shop.acquirer.queried} == {str(MERCHANT)}
