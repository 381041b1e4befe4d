"""Payment pages as a browser without scripts pays them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from typing import TYPE_CHECKING, Any

from tests.support.cardholders import PAGE_FIELDS, REDIRECT_URL, Answer, ServedGateway
from tests.support.issuing import number_of

from tollhouse.stage.demo import SITE_ID

if TYPE_CHECKING:
    from collections.abc import Mapping

CARD = {"expiry": "12 / 29", "code": "009", "holder": "Jane Smith", "zip": "10001"}
#: What the policies of the pages are about: nothing from anywhere else.
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


@dataclass(frozen=True, slots=True)
class PayPage:
    """A page on which one purchase is paid."""

    served: ServedGateway
    url: str

    async def open(self, **headers: str) -> Answer:
        """Open the page."""
        return await self.served.get(self.url, **headers)

    async def form(self, which: int = -1) -> dict[str, str]:
        """Return the hidden fields of one of the page's forms: the last is that of another card."""
        forms = re.findall(r"<form method=\"post\".*?</form>", (await self.open()).text, re.DOTALL)
        fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', forms[which])
        return {name: unescape(value) for name, value in fields if value}

    async def send(self, form: Mapping[str, str], **headers: str) -> Answer:
        """Send a form."""
        return await self.served.post(self.url, dict(form), **SAME_ORIGIN | headers)

    async def pay(self, card: str = "visa", **changes: str) -> Answer:
        """Pay with a published card; the page's own script has told what the browser is."""
        return await self.send(await self.form() | PAGE_FIELDS | CARD | {"number": number_of(card)} | changes)

    async def follow(self, answer: Answer) -> Answer:
        """Go on to where a page that goes on by itself leads."""
        return await self.served.get(way_of(answer))

    async def done(self) -> Answer:
        """Look where the last try has led."""
        return await self.served.get(f"{self.url}/done")

    async def transactions(self) -> list[Any]:
        """Return the tries that were made, oldest first."""
        key = self.url.rpartition("/")[2]
        return await self.served.fetch(
            "select t.* from transaction t join payment_link l using (merchant_id, payment_id) "
            "where l.digest = sha256($1) order by page_try",
            key.encode(),
        )


def way_of(answer: Answer) -> str:
    """Return where a page leads that goes on by itself."""
    found = re.search(r'http-equiv="refresh" content="0; url=([^"]+)"', answer.text)
    assert found, answer.text
    return unescape(found[1])


async def make_page(served: ServedGateway, **changes: Any) -> PayPage:
    """Make a page for a purchase of 19.99; the changes replace parts of the request."""
    body = {
        "sku": {
            "siteId": str(SITE_ID),
            "title": "Premium",
            "price": [{"amount": 19.99, "currency": "USD"}],
            "url": {"ipnUrl": "http://127.0.0.1:9/ipn", "redirectUrl": REDIRECT_URL},
        },
        "metadata": {"order": 7},
    }
    answer = await served.call("/paymentPage", body | changes)
    assert answer.status == 201, answer.text
    return PayPage(served, answer.json["url"])
