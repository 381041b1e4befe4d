"""A shop with the public WooCommerce plugin: tokens, sales, declines, challenges, renewals, pages, callbacks."""

from __future__ import annotations

from contextlib import suppress

from tests.golden.flow import Flow
from tests.support.issuing import number_of
from tests.support.plugin import Plugin, PluginError


async def woocommerce(flow: Flow) -> None:
    """Sell by the plugin's own calls: a sale, a decline, a trial, a challenge, a renewal and a payment page."""
    shop = flow.shop
    await shop.put(f"/site/{shop.merchant.site_id}", {"ipnFormat": "plugin"})
    plugin = Plugin(shop.client, shop.merchant.key, str(shop.merchant.site_id), flow.endpoint.url, "secret")
    for name, trial_days in (("visa", 0), ("decline_51", 0), ("mastercard", 7), ("challenge", 0)):
        order = plugin.order()
        token = await plugin.get_token(number_of(name))
        with suppress(PluginError):
            await plugin.check_out(order, {"type": "token", "value": token}, trial_days=trial_days)
    await flow.tell_callbacks()
    for seen in flow.endpoint.seen:
        plugin.receive(seen.body, seen.headers["Content-Type"])
    consumer_id = next(order.stored["consumer"] for order in plugin.orders.values() if order.stored)
    await plugin.renew(plugin.order(10.0), consumer_id)
    await plugin.get_payment_page(plugin.order())
    for number in ("4111", "", number_of("visa")):
        with suppress(PluginError):
            await plugin.get_token(number, expiry="13 / 20", cvv="1")
    await flow.tell_callbacks()
    flow.entries.append({"orders": [[order.number, order.status, order.note] for order in plugin.orders.values()]})
    await flow.tell_rows()
