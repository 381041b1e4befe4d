"""A merchant's IPN listener: a real server on loopback that verifies signatures with nothing but the documentation."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class _Server(ThreadingHTTPServer):
    """A server that says nothing when the sender's process is killed in the middle of a request."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print what went wrong, unless the sender has gone."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Listener:
    """Acknowledges callbacks and remembers them in the order in which they came."""

    def __init__(self, *, secret: str = "", port: int = 0) -> None:
        self.secret = secret
        self.callbacks: list[dict[str, Any]] = []
        self.forged = 0
        listener = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                listener.take(self.rfile.read(int(self.headers["Content-Length"])), dict(self.headers.items()))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = _Server(("127.0.0.1", port), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/ipn"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def take(self, body: bytes, headers: dict[str, str]) -> None:
        """Remember a callback, or count it as forged when its signature does not fit."""
        content = json.loads(body)
        payment = content["payment"]
        signed = self.secret + payment["transactionId"] + payment["status"]
        if hashlib.sha256(signed.encode()).hexdigest() != headers.get("X-Signature"):
            self.forged += 1
            return
        self.callbacks.append({"body": content, "headers": headers})

    def wait_for(self, transaction_id: str, *, seconds: float = 10.0) -> list[dict[str, Any]]:
        """Return the callbacks about a transaction, once there is one."""
        give_up_at = time.monotonic() + seconds
        while time.monotonic() < give_up_at:
            found = [one for one in list(self.callbacks) if one["body"]["payment"]["transactionId"] == transaction_id]
            if found:
                return found
            time.sleep(0.02)
        raise AssertionError(f"no callback about transaction {transaction_id} came within {seconds} s")

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
