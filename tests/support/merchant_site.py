"""A merchant's web shop on a port of its own: a form whose script tokenizes at the gateway, and a server that pays."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from tests.support.gateways import request

if TYPE_CHECKING:
    from tests.support.gateways import RunningGateway

FORM = """<!doctype html><title>Shop</title>
<form id="card"><label>Card <input id="number" name="number"></label><button>Pay</button></form><p id="problem"></p>
<script>
document.getElementById("card").addEventListener("submit", async (event) => {
  event.preventDefault();
  const tokenized = await fetch("%(gateway)s/tokenize", {
    method: "POST",
    headers: {"Content-Type": "application/json", "x-requested-with": "XMLHttpRequest"},
    body: JSON.stringify({number: document.getElementById("number").value,
                          expirationYear: "30", expirationMonth: "12", cvv: "009"}),
  });
  const token = await tokenized.json();
  if (!tokenized.ok) { document.getElementById("problem").textContent = JSON.stringify(token.errors); return; }
  const bought = await fetch("/buy", {method: "POST", body: JSON.stringify(token)});
  const {payment} = await bought.json();
  location = payment.action === "redirect" ? payment.url : "/done?direct=" + payment.status;
});
</script>"""
DONE = "<!doctype html><title>Thanks</title><h1>Thanks</h1>"


class MerchantSite:
    """The shop. `payments` are the gateway's answers, in order."""

    def __init__(self, gateway: RunningGateway, *, ipn_url: str) -> None:
        self.payments: list[dict[str, Any]] = []
        self._gateway = gateway
        self._ipn_url = ipn_url
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(DONE if self.path.startswith("/done") else FORM % {"gateway": gateway.url}, "text/html")

            def do_POST(self) -> None:
                token = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["token"]
                self._answer(json.dumps(site.buy(token)), "application/json")

            def _answer(self, text: str, media_type: str) -> None:
                body = text.encode()
                self.send_response(200)
                self.send_header("Content-Type", media_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def buy(self, token: str) -> dict[str, Any]:
        """Pay with a token, as the shop's server does."""
        order = {
            "paymentSource": {"type": "token", "token": token},
            "sku": {
                "siteId": self._gateway.demo["siteId"],
                "title": "A thing",
                "price": [{"offset": "0d", "amount": 20 + len(self.payments), "currency": "EUR"}],
            },
            "consumer": {"externalId": f"shopper-{len(self.payments)}", "ip": "203.0.113.45"},
            "url": {"ipnUrl": self._ipn_url, "redirectUrl": f"{self.url}/done?order=7#top"},
        }
        _, answer = request(f"{self._gateway.url}/payment", body=order, key=self._gateway.demo["apiKey"])
        self.payments.append(answer)
        answer_: dict[str, Any] = answer
        return answer_

    def close(self) -> None:
        """Close the shop."""
        self._server.shutdown()
        self._server.server_close()
