"""`tollhouse listen`: receive callbacks, print them, and forward them to another server.

It is a receiver for developers. It prints a line for each callback, verifies its signatures, and forwards the same
bytes and headers. The gateway gets the status of the forwarded request, so developers can watch its retries too.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from tollhouse.composition.serving import serve_beside
from tollhouse.http.asgi import Receive, Scope, Send
from tollhouse.http.decode import MARK, parse_json
from tollhouse.http.serving.ports import bind
from tollhouse.http.serving.server import ServerLimits
from tollhouse.ipn.message.legacy import CONTENT_TYPE as FORM_TYPE
from tollhouse.ipn.message.signature import SignatureMismatch, verify_status, verify_webhook
from tollhouse.kernel.errors import Invalid, TollhouseError
from tollhouse.kernel.urls import ANY_ADDRESS, AddressRefused, check_url
from tollhouse.transport.http import build_exact_url

DEFAULT_PORT = 8081
MAX_CALLBACK_BYTES = 1024 * 1024
MAX_RESPONSE_BYTES = 16 * 1024
MAX_PRINTED_BYTES = 64 * 1024
MAX_CONNECTIONS = 256
FORWARD_TIMEOUT_SECONDS = 14.0

#: Fields of a legacy form, and the elements of its XML that describe the callback.
MAX_LEGACY_FIELDS = 16
LEGACY_FACT = re.compile(r"<(mode|status|orderId)>([^<]*)<")
LEGACY_ID = re.compile(r'<transaction id="([^"]*)"')

#: Headers that belong to one connection, or are set for the next one.
_HOP_HEADERS = frozenset(
    {
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


class ForwardImpossible(TollhouseError):
    """The forwarding URL is invalid."""


@dataclass(frozen=True, slots=True)
class ReceivedCallback:
    """The subject of a callback, read from its body."""

    kind: str
    status: str
    order_id: str
    transaction_id: str
    subscription_id: str


class ClientGone(Exception):
    """The client closed the connection before its body had ended."""


@dataclass(frozen=True, slots=True)
class CallbackResponse:
    """The response to the gateway. `note` is for the printed line."""

    status: int
    body: bytes = b""
    retry_after: str | None = None
    note: str = ""


async def listen(
    *,
    forward_to: str | None = None,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    secret: str | None = None,
    data_directory: Path = Path(".tollhouse"),
    console: Console | None = None,
    stop: asyncio.Event | None = None,
    ready: Callable[[str], None] | None = None,
    shows_bodies: bool = False,
) -> None:
    """Receive callbacks until `stop` is set or the task is cancelled.

    `secret` is the merchant's IPN secret, by default that of the demo in `data_directory`; without either, signatures
    are not checked. Port 0 is any free port; `ready` gets the address. Raises PortUnavailable and ForwardImpossible.
    """
    if forward_to is not None:
        _check_address(forward_to)
    console = console or Console()
    secret = secret or read_demo_secret(data_directory)
    timeout = aiohttp.ClientTimeout(total=FORWARD_TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False, trust_env=False) as session:
        listener = Listener(session, console, forward_to=forward_to, secret=secret, shows_bodies=shows_bodies)
        with bind(host, port) as bound:
            async with serve_beside(listener, bound, bounds=ServerLimits(max_connections=MAX_CONNECTIONS)):
                url = f"{bound.url}/"
                console.print(render_banner(url, forward_to=forward_to, checked=secret is not None))
                if ready is not None:
                    ready(url)
                await (stop or asyncio.Event()).wait()


class Listener:
    """The application of the port. It receives a POST to any path, forwards it and prints it."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        console: Console,
        *,
        forward_to: str | None,
        secret: str | None,
        shows_bodies: bool,
    ) -> None:
        self._session = session
        self._console = console
        self._forward_to = forward_to
        self._secret = secret
        self._shows_bodies = shows_bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one request."""
        if scope["method"] != "POST":
            await _respond(send, CallbackResponse(HTTPStatus.METHOD_NOT_ALLOWED))
            return
        try:
            body = await _read_body(receive)
        except ClientGone:
            return
        if body is None:
            await _respond(send, CallbackResponse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE))
            return
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        await _respond(send, await self._handle_callback(headers, body))

    async def _handle_callback(self, headers: Sequence[tuple[str, str]], body: bytes) -> CallbackResponse:
        """Forward a callback and print a line."""
        begun = time.monotonic()
        response = await _forward(self._session, self._forward_to, headers, body)
        milliseconds = round((time.monotonic() - begun) * 1000)
        verdict = judge_signature(dict(headers), body, secret=self._secret, now=time.time())
        line = render_line(read_callback(body), verdict, response, milliseconds if self._forward_to else None)
        self._console.print(line, soft_wrap=True)
        if self._shows_bodies:
            self._console.print(Text(render_body(body), style="dim"), soft_wrap=True)
        return response


def read_demo_secret(data_directory: Path) -> str | None:
    """Return the IPN secret of the demo merchant, or None if there is no demo."""
    try:
        demo = json.loads((data_directory / "demo.json").read_bytes())
    except (OSError, ValueError):
        return None
    secret = demo.get("ipnSecret") if isinstance(demo, dict) else None
    return secret if isinstance(secret, str) else None


def read_callback(body: bytes) -> ReceivedCallback:
    """Read the subject of a callback. Missing fields are empty, because the body may be anything."""
    try:
        content = parse_json(body)
    except Invalid:
        return read_legacy_callback(body)
    payment, subscription = _child(content, "payment"), _child(content, "subscription")
    return ReceivedCallback(
        kind=_text(payment, "mode") or ("subscription" if subscription else "unknown"),
        status=_text(payment, "status") or _text(subscription, "status"),
        order_id=_text(payment, "orderId"),
        transaction_id=_text(payment, "transactionId"),
        subscription_id=_text(subscription, "id"),
    )


def read_legacy_callback(body: bytes) -> ReceivedCallback:
    """Read the subject of a legacy form, or of a body that is not JSON."""
    try:
        xml = dict(parse_qsl(body.decode("utf-8", "replace"), max_num_fields=MAX_LEGACY_FIELDS)).get("ipn", "")
    except ValueError:
        xml = ""
    facts, identity = dict(LEGACY_FACT.findall(xml)), LEGACY_ID.search(xml)
    return ReceivedCallback(
        kind=facts.get("mode", "unknown"),
        status=facts.get("status", ""),
        order_id=facts.get("orderId", ""),
        transaction_id=identity[1] if identity else "",
        subscription_id="",
    )


def verify_callback(headers: Mapping[str, str], body: bytes, *, secret: str, now: float) -> None:
    """Verify the signatures of a callback. Raises SignatureMismatch, which names the wrong one.

    A legacy form has no X-Signature.
    """
    callback = read_callback(body)
    named = {name.lower(): value for name, value in headers.items()}
    try:
        if named.get("content-type") != FORM_TYPE:
            verify_status(
                secret,
                named.get("x-signature", ""),
                subject_id=callback.transaction_id or callback.subscription_id,
                status=callback.status,
            )
    except SignatureMismatch as error:
        raise SignatureMismatch("X-Signature is wrong") from error
    try:
        verify_webhook(
            secret,
            named.get("webhook-signature", ""),
            webhook_id=named.get("webhook-id", ""),
            timestamp=named.get("webhook-timestamp", ""),
            body=body,
            now=now,
        )
    except SignatureMismatch as error:
        raise SignatureMismatch("webhook-signature is wrong or old") from error


def judge_signature(headers: Mapping[str, str], body: bytes, *, secret: str | None, now: float) -> Text:
    """Describe whether the signatures of a callback are valid."""
    if secret is None:
        return Text("signature not checked", style="yellow")
    try:
        verify_callback(headers, body, secret=secret, now=now)
    except SignatureMismatch as error:
        return Text(f"✗ {error}", style="bold red")
    return Text("✓ signature verified", style="green")


def render_banner(url: str, *, forward_to: str | None, checked: bool) -> Panel:
    """Render the text printed at the start."""
    lines = [
        Text.assemble("Listening on  ", (url, "bold cyan")),
        Text.assemble("Forwarding to ", (forward_to, "bold cyan"))
        if forward_to
        else Text("Responding 200 to everything"),
        Text("Signatures are verified" if checked else "Signatures are not verified: give --secret, or start the demo"),
        Text.assemble("\nGive this address as ", ("url.ipnUrl", "bold"), " of a payment, or as the ipnUrl of a site."),
    ]
    return Panel(Text("\n").join(lines), title="tollhouse listen", title_align="left", expand=False)


def render_line(
    callback: ReceivedCallback, verdict: Text, response: CallbackResponse, milliseconds: int | None
) -> Text:
    """Render the line of one callback. Its texts are never interpreted as markup."""
    good = callback.status in ("success", "active", "trial", "successful", "refunded")
    acknowledged = response.status in (HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.ACCEPTED)
    parts: list[Any] = [
        (f"{datetime.now().astimezone():%H:%M:%S}", "dim"),
        f"  {callback.kind:<10} ",
        (f"{callback.status or '-':<8}", "green" if good else "red"),
        *(f" {name} {value} " for name, value in _ids(callback) if value),
        " ",
        verdict,
        "  → ",
        (str(response.status), "green" if acknowledged else "bold red"),
    ]
    if milliseconds is not None:
        parts.append((f" {response.note or 'from your server'}, {milliseconds} ms", "dim"))
    return Text.assemble(*parts)


def render_body(body: bytes) -> str:
    """Format a body: JSON indented, a form one field per line. Control characters are replaced."""
    text = body[:MAX_PRINTED_BYTES].decode("utf-8", "replace")
    try:
        parse_json(body)
        text = json.dumps(json.loads(body.removeprefix(MARK)), indent=2, ensure_ascii=False)
    except Invalid:
        if text.startswith(("ipn=", "sign=")) and text.count("&") < MAX_LEGACY_FIELDS:
            text = "\n".join(f"{name}: {value}" for name, value in parse_qsl(text, max_num_fields=MAX_LEGACY_FIELDS))
    printable = "".join(each if each == "\n" or each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
    return printable[:MAX_PRINTED_BYTES]


def _check_address(forward_to: str) -> None:
    """Raise ForwardImpossible for a URL to which nothing can be posted: each callback would get 502 and be retried."""
    try:
        check_url(forward_to, ANY_ADDRESS)
    except AddressRefused as error:
        raise ForwardImpossible(f"--forward-to must be a URL such as http://127.0.0.1:3000/ipn: it {error}.") from None


async def _read_body(receive: Receive) -> bytes | None:
    """Return a body, or None if it is too large. Raises ClientGone."""
    body, has_more = bytearray(), True
    while has_more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body += message.get("body", b"")
        if len(body) > MAX_CALLBACK_BYTES:
            return None
        has_more = message.get("more_body", False)
    return bytes(body)


async def _forward(
    session: aiohttp.ClientSession, forward_to: str | None, headers: Sequence[tuple[str, str]], body: bytes
) -> CallbackResponse:
    """Forward a callback and return the response. No response becomes a 5xx, so that the gateway retries."""
    if forward_to is None:
        return CallbackResponse(HTTPStatus.OK)
    kept = [(name, value) for name, value in headers if name not in _HOP_HEADERS]
    try:
        async with session.post(
            build_exact_url(forward_to), data=body, headers=kept, allow_redirects=False
        ) as response:
            excerpt = await response.content.read(MAX_RESPONSE_BYTES)
            return CallbackResponse(response.status, excerpt, response.headers.get("Retry-After"))
    except TimeoutError:
        return CallbackResponse(HTTPStatus.GATEWAY_TIMEOUT, note="no response in time")
    except (aiohttp.ClientError, OSError) as error:
        return CallbackResponse(HTTPStatus.BAD_GATEWAY, note=f"not reached: {error}")


async def _respond(send: Send, response: CallbackResponse) -> None:
    headers = [(b"content-length", str(len(response.body)).encode())]
    if response.retry_after:
        headers.append((b"retry-after", response.retry_after.encode("latin-1", "replace")))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


def _ids(callback: ReceivedCallback) -> tuple[tuple[str, str], ...]:
    return (
        ("order", callback.order_id),
        ("transaction", callback.transaction_id),
        ("subscription", callback.subscription_id),
    )


def _child(content: object, name: str) -> dict[str, Any]:
    child = content.get(name) if isinstance(content, dict) else None
    return child if isinstance(child, dict) else {}


def _text(content: Mapping[str, Any], name: str) -> str:
    value = content.get(name)
    return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
