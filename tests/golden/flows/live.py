"""Live: what it refuses that stage takes, and payments with limits, where each begins in the same way."""

from __future__ import annotations

from tests.golden.flow import Flow, plain_card

URLS = {"ipnUrl": "https://shop.example/ipn", "redirectUrl": "https://shop.example/thanks"}


async def live_payments(flow: Flow) -> None:
    """Pay in live: approved and declined, once and again, by a repeated id; stage's own calls do not exist."""
    for sent in (
        flow.body(url=URLS),
        flow.body("decline_05", url=URLS, consumer=flow.buyer("declined")),
        flow.body({"type": "card"} | plain_card(expirationYear="20"), url=URLS, consumer=flow.buyer("expired")),
        flow.body(url={"ipnUrl": "http://127.0.0.1/ipn", "redirectUrl": "http://10.0.0.1/"}),
        flow.body(url=URLS, metadata={"cart": 2}),
    ):
        await flow.shop.pay(sent)
    for _ in range(2):
        await flow.shop.pay(flow.body(url=URLS, consumer=flow.buyer("named")), headers={"X-Request-ID": "order-1"})
    token = (await flow.shop.tokenize(plain_card())).json().get("token", "")
    await flow.pay({"type": "token", "token": token}, url=URLS, consumer=flow.buyer("token"))
    for path in ("/stage/clock", "/stage/inbox", "/testPaymentData", "/", "/stage/journal"):
        await flow.shop.get(path)
    await flow.tell_rows()
