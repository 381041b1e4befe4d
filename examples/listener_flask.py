"""A listener for callbacks, as a Flask application.

    IPN_SECRET=... flask --app examples/listener_flask.py run --port 3000

The address to give as `ipnUrl` is then http://127.0.0.1:3000/ipn.
"""

from __future__ import annotations

import os

from flask import Flask, request

from tollhouse.client import Ipn, SignatureMismatch, read_ipn

SECRET = os.environ["IPN_SECRET"]

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 256 * 1024

#: Events that were seen: a callback may come twice. Keep them in your database, written with what they book.
seen: set[str] = set()


@app.post("/ipn")
def take_callback() -> tuple[str, int]:
    """Check a callback, book it once, and say that it came."""
    try:
        ipn = read_ipn(request.get_data(), dict(request.headers), SECRET)
    except SignatureMismatch:
        return "", 400
    if ipn.webhook_id not in seen:
        seen.add(ipn.webhook_id)
        book(ipn)
    return "", 200


def book(ipn: Ipn) -> None:
    """Do what the event calls for. Here: print it."""
    if ipn.payment is not None:
        print(ipn.payment.mode, ipn.payment.order_id, ipn.payment.status, ipn.payment.amount, flush=True)
