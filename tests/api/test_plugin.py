"""The public WooCommerce plugin's JSON calls, and what its orders become by answers and by delivered callbacks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import pytest_asyncio
from tests.support.callbacks import Endpoint, open_endpoint
from tests.support.issuing import number_of
from tests.support.plugin import ORDER_PAGE, Order, Plugin, PluginError
from tests.support.webshop import WebShop, clone_database, open_webshop

from tollhouse.kernel.urls import STAGE
from tollhouse.worker.events import deliver_events, number_events

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(slots=True)
class WordPress:
    """A WordPress with the plugin, and the gateway that it talks to. `handled` counts the callbacks it has seen."""

    shop: WebShop
    plugin: Plugin
    endpoint: Endpoint
    handled: int = 0

    async def callbacks(self, count: int = 1) -> None:
        """Wait for so many more callbacks, and let the plugin handle them."""
        async with asyncio.timeout(10):
            while len(self.endpoint.seen) < self.handled + count:  # noqa: ASYNC110 - it happens in other tasks
                await asyncio.sleep(0.01)
        for seen in self.endpoint.seen[self.handled :]:
            self.plugin.receive(seen.body, seen.headers["Content-Type"])
        self.handled += count
        assert len(self.endpoint.seen) == self.handled

    async def buy(self, *, total: float = 19.99, trial_days: int = 0, name: str = "visa") -> tuple[Order, str]:
        """Check out with a card, and return the order and where the buyer was sent."""
        order = self.plugin.order(total)
        token = await self.plugin.get_token(number_of(name))
        there = await self.plugin.check_out(order, {"type": "token", "value": token}, trial_days=trial_days)
        return order, there


@asynccontextmanager
async def delivering(shop: WebShop) -> AsyncIterator[None]:
    """Run the loops that number and deliver events."""
    stop, numbered, database = asyncio.Event(), asyncio.Event(), shop.gateway.database
    loops = [
        asyncio.create_task(number_events(database, stop=stop, wake=shop.gateway.wake, numbered=numbered)),
        asyncio.create_task(
            deliver_events(database, secrets_of=shop.gateway.secrets.of, policy=STAGE, stop=stop, wake=numbered)
        ),
    ]
    yield
    stop.set()
    shop.gateway.wake.set()
    numbered.set()
    await asyncio.gather(*loops)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def wordpress(postgres_dsn: str, template: str) -> AsyncIterator[WordPress]:
    """A WordPress whose site has the plugin's preset."""
    async with (
        clone_database(postgres_dsn, template) as dsn,
        open_webshop(dsn) as shop,
        open_endpoint() as endpoint,
        delivering(shop),
    ):
        await shop.execute("update site set ipn_format = 'plugin' where site_id = $1", shop.merchant.site_id)
        plugin = Plugin(shop.client, shop.merchant.key, str(shop.merchant.site_id), endpoint.url, "secret")
        yield WordPress(shop, plugin, endpoint)


async def test_sale_and_its_callback_pay_the_order(wordpress: WordPress) -> None:
    """A sale sends the buyer to the order's page, and its callback makes the order paid."""
    order, there = await wordpress.buy()
    assert there == ORDER_PAGE
    await wordpress.callbacks()
    assert order.status == "processing"
    assert order.stored["consumer"]
    assert order.stored["transaction"].isdigit()


async def test_decline_fails_the_order(wordpress: WordPress) -> None:
    """A decline fails the order with the bank's text at once, and its callback leaves it so."""
    with pytest.raises(PluginError, match=r"\w+"):
        await wordpress.buy(name="decline_51")
    order = wordpress.plugin.orders[max(wordpress.plugin.orders)]
    assert (order.status, order.note[:22]) == ("failed", "Payment gateway error.")
    await wordpress.callbacks()
    assert order.status == "failed"


async def test_challenge_redirects_the_consumer(wordpress: WordPress) -> None:
    """A challenge sends the buyer to the bank; no callback comes before the end, which here is that it is given up."""
    order, there = await wordpress.buy(name="challenge")
    assert there.startswith("http")
    assert there != ORDER_PAGE
    [row] = await wordpress.shop.fetch("select transaction_id from transaction where status = 'pending'")
    assert await wordpress.shop.fetch("select 1 from event where transaction_id = $1", row["transaction_id"]) == []
    assert order.status == "pending"
    assert (await wordpress.shop.post(f"/payment/{row['transaction_id']}/void", {})).status_code == 201
    await wordpress.callbacks()
    assert (order.status, order.note) == ("failed", "3-D Secure authentication was abandoned")


async def test_renewal_pays_its_order(wordpress: WordPress) -> None:
    """A renewal by the stored consumer is paid by its answer; its callback finds the order of the renewal."""
    order, _ = await wordpress.buy()
    await wordpress.callbacks()
    renewal = wordpress.plugin.order(10.0)
    await wordpress.plugin.renew(renewal, order.stored["consumer"])
    assert renewal.status == "processing"
    renewal.status = "pending"
    await wordpress.callbacks()
    assert renewal.status == "processing"


async def test_trial_counts_as_paid(wordpress: WordPress) -> None:
    """A trial verifies the card or holds the later sum, and the order is taken for paid."""
    order, there = await wordpress.buy(trial_days=14)
    assert there == ORDER_PAGE
    await wordpress.callbacks()
    assert order.status == "processing"


async def test_refund_is_posted_in_the_legacy_form(wordpress: WordPress) -> None:
    """A credit reaches the plugin in the legacy form and refunds the order; as JSON it would have paid it again."""
    order, _ = await wordpress.buy()
    await wordpress.callbacks()
    path = f"/payment/{order.stored['transaction']}/credit"
    assert (await wordpress.shop.post(path, {"reason": "returned"})).status_code == 201
    await wordpress.callbacks()
    assert order.status == "refunded"
    assert b"payment" not in wordpress.endpoint.seen[-1].body[:10]


async def test_partial_refund_is_not_posted(wordpress: WordPress) -> None:
    """The plugin, which takes any refund for one of the whole order, hears of refunds when nothing is left."""
    order, _ = await wordpress.buy()
    await wordpress.callbacks()
    seen, path = len(wordpress.endpoint.seen), f"/payment/{order.stored['transaction']}/credit"
    first, second = [await wordpress.shop.post(path, {"reason": "returned", "amount": amount}) for amount in (15, 4.99)]
    assert (first.status_code, second.status_code) == (201, 201)
    await wordpress.callbacks()
    assert (len(wordpress.endpoint.seen), order.status) == (seen + 1, "refunded")
    assert await told_refunds(wordpress, order) == [False, True]


async def told_refunds(wordpress: WordPress, order: Order) -> list[bool]:
    """Return of each refund of an order whether it is posted, oldest first."""
    rows = await wordpress.shop.fetch(
        "select e.url <> '' as is_posted from event e join transaction t using (merchant_id, payment_id)"
        " where e.kind = 'refund' and t.transaction_id = $1 order by e.position",
        int(order.stored["transaction"]),
    )
    return [row["is_posted"] for row in rows]


async def test_one_of_two_concurrent_refunds_is_posted(wordpress: WordPress) -> None:
    """Of two refunds that together give all back exactly one is told, whichever is settled last."""
    for _ in range(5):
        order, _ = await wordpress.buy()
        await wordpress.callbacks()
        path = f"/payment/{order.stored['transaction']}/credit"
        bodies = [{"reason": "returned", "amount": amount} for amount in (10, 9.99)]
        answers = await asyncio.gather(*(wordpress.shop.post(path, body) for body in bodies))
        assert [answer.status_code for answer in answers] == [201, 201]
        await wordpress.callbacks()
        assert sorted(await told_refunds(wordpress, order)) == [False, True]


async def test_void_is_posted_in_the_legacy_form(wordpress: WordPress) -> None:
    """A void reaches the plugin in the legacy form, and the order is refunded."""
    order, _ = await wordpress.buy()
    await wordpress.callbacks()
    assert (await wordpress.shop.post(f"/payment/{order.stored['transaction']}/void", {})).status_code == 201
    await wordpress.callbacks()
    assert order.status == "refunded"


async def test_payment_page_finds_the_order(wordpress: WordPress) -> None:
    """The buyer is sent to a page, whose callback will find the order."""
    order = wordpress.plugin.order()
    there = await wordpress.plugin.get_payment_page(order)
    assert there.startswith("http")
    assert (await wordpress.shop.client.get(there)).status_code == 200
    assert order.status == "pending"


async def test_fault_of_the_form_is_an_error_with_a_text(wordpress: WordPress) -> None:
    """Faults of the form are errors with a text, whatever is empty."""
    for typed in ({"number": ""}, {"number": "4024 0071 7936 6349"}, {"number": number_of("visa"), "expiry": "1"}):
        with pytest.raises(PluginError, match=r"\w+"):
            await wordpress.plugin.get_token(**typed)
    order = wordpress.plugin.order()
    with pytest.raises(PluginError):
        await wordpress.plugin.check_out(order, {"type": "token", "value": "00000000-0000-4000-8000-000000000000"})
    assert order.status == "failed"


async def test_empty_security_code_is_accepted(wordpress: WordPress) -> None:
    """The form leaves the security code empty where the shop does not ask for it."""
    assert await wordpress.plugin.get_token(number_of("visa"), cvv="")
