"""One POST of one event, and what came back: signed, timed, bounded, never an exception for what an endpoint does."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import aiohttp
import structlog

from tollhouse import __version__
from tollhouse.ipn import legacy
from tollhouse.ipn.address import AddressPolicy, AddressRefused, check_url
from tollhouse.ipn.form import Form
from tollhouse.ipn.model import Attempt, AttemptError, Delivery
from tollhouse.ipn.schedule import parse_retry_after
from tollhouse.ipn.session import Peer, peer
from tollhouse.ipn.signature import sign_status, sign_webhook

#: The answers that acknowledge.
ACKNOWLEDGED = frozenset({200, 201, 202})
REDIRECTIONS = range(300, 400)

#: How much of an answer is read, so that the connection can be used again, and how much of it is kept.
MAX_ANSWER_BYTES = 16 * 1024
EXCERPT_BYTES = 1024

CONTENT_TYPES: Mapping[Form, str] = {"json": "application/json", "legacy": legacy.CONTENT_TYPE}
USER_AGENT = f"Tollhouse/{__version__}"

#: Of a merchant: its current IPN secret, then an earlier one that is still valid. Asked at every attempt.
SecretsOf = Callable[[int], Awaitable[Sequence[str]]]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Limits:
    """How long an attempt may take. `connect_seconds` covers name look-up, connection and TLS."""

    connect_seconds: float = 3.0
    total_seconds: float = 15.0


def write_body(delivery: Delivery, secret: str) -> bytes:
    """Write what is posted: the event's JSON as it is, or the form that holds its XML, signed with the secret."""
    if delivery.form == "json":
        return delivery.body
    signature = legacy.sign(
        secret, order_id=str(delivery.payment_id or ""), kind=delivery.kind, status=delivery.status or ""
    )
    return legacy.write_form(delivery.body, signature)


def build_headers(delivery: Delivery, secrets: Sequence[str], *, timestamp: int) -> dict[str, str]:
    """Build what an attempt says besides the body.

    The first secret signs `X-Signature`, all of them sign `webhook-signature`. `timestamp` is Unix time of this
    attempt; everything else is the same at every attempt.
    """
    webhook_id = f"evt_{delivery.event_id}"
    body = write_body(delivery, secrets[0])
    headers = {
        "Content-Type": CONTENT_TYPES[delivery.form],
        "User-Agent": USER_AGENT,
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign_webhook(secrets, webhook_id=webhook_id, timestamp=timestamp, body=body),
        "webhook-sequence": str(delivery.sequence),
    }
    if delivery.form == "json":  # a form is signed in its field `sign`
        subject_id = delivery.subscription_id if delivery.transaction_id is None else delivery.transaction_id
        headers["X-Signature"] = sign_status(secrets[0], str(subject_id or ""), delivery.status or "")
    if delivery.request_id:
        headers["X-Request-ID"] = delivery.request_id
    return headers


async def post_delivery(
    session: aiohttp.ClientSession,
    delivery: Delivery,
    *,
    secrets_of: SecretsOf,
    policy: AddressPolicy,
    limits: Limits,
) -> Attempt:
    """Post an event once, and tell how it went."""
    started_at, begun = datetime.now(UTC), time.monotonic()
    noted = Peer()
    token = peer.set(noted)
    status, excerpt, retry_after = None, b"", None
    error: AttemptError | None
    try:
        check_url(delivery.url, policy)
        secrets = await secrets_of(delivery.merchant_id)
        headers = build_headers(delivery, secrets, timestamp=int(started_at.timestamp()))
        message = _Message(delivery.url, headers, write_body(delivery, secrets[0]))
        status, excerpt, retry_after = await _exchange_with_fresh_connection(session, message, limits, noted)
        error = judge_status(status)
    except Exception as caught:  # whatever an endpoint provokes is an attempt that failed
        error = classify_error(caught)
        if error == "internal":
            log.exception("ipn attempt broke", merchant_id=delivery.merchant_id, event_id=delivery.event_id)
    finally:
        peer.reset(token)
    return Attempt(
        started_at=started_at,
        duration_ms=round((time.monotonic() - begun) * 1000),
        address=noted.address,
        status=status,
        error=error,
        excerpt=decode_excerpt(excerpt),
        retry_after_seconds=parse_retry_after(retry_after, now=started_at),
    )


def judge_status(status: int) -> AttemptError | None:
    """Return None for a status that acknowledges, else what is wrong with it."""
    if status in ACKNOWLEDGED:
        return None
    return "redirected" if status in REDIRECTIONS else "not_acknowledged"


def classify_error(error: BaseException) -> AttemptError:
    """Name what kept an attempt from having an answer."""
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, AddressRefused):
        return "address_refused"
    return next((word for kind, word in _WORDS if isinstance(error, kind)), "internal")


def decode_excerpt(excerpt: bytes) -> str:
    """Make text of the beginning of an answer, whatever it is; PostgreSQL takes no NUL."""
    return excerpt[:EXCERPT_BYTES].decode("utf-8", "replace").replace("\x00", "\N{REPLACEMENT CHARACTER}")


#: From the special to the general.
_WORDS: Sequence[tuple[type[BaseException], AttemptError]] = (
    (AddressRefused, "address_refused"),
    (aiohttp.InvalidURL, "address_refused"),
    (aiohttp.ClientConnectorDNSError, "dns_failed"),
    (aiohttp.ClientSSLError, "tls_failed"),
    (aiohttp.ConnectionTimeoutError, "connect_timeout"),
    (aiohttp.ClientConnectorError, "connect_failed"),
    (TimeoutError, "timeout"),
    (aiohttp.ServerDisconnectedError, "disconnected"),
    (aiohttp.ClientOSError, "disconnected"),
    (ConnectionError, "disconnected"),
    (aiohttp.ClientError, "bad_answer"),
)


@dataclass(frozen=True, slots=True)
class _Message:
    """What is posted where."""

    url: str
    headers: dict[str, str]
    body: bytes


async def _exchange_with_fresh_connection(
    session: aiohttp.ClientSession, message: _Message, limits: Limits, noted: Peer
) -> tuple[int, bytes, str | None]:
    """Exchange, and once more if a connection kept from before was closed by the other side as we took it up."""
    try:
        return await _exchange(session, message, limits)
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
        if noted.opened or isinstance(error, aiohttp.ClientConnectorError):
            raise
    return await _exchange(session, replace(message, headers=message.headers | {"Connection": "close"}), limits)


async def _exchange(session: aiohttp.ClientSession, message: _Message, limits: Limits) -> tuple[int, bytes, str | None]:
    """Post and return status, the beginning of the answer, and its `Retry-After`."""
    timeout = aiohttp.ClientTimeout(total=limits.total_seconds, connect=limits.connect_seconds)
    async with session.post(
        message.url, data=message.body, headers=message.headers, timeout=timeout, allow_redirects=False
    ) as response:
        return response.status, await _read_excerpt(response), response.headers.get("Retry-After")


async def _read_excerpt(response: aiohttp.ClientResponse) -> bytes:
    """Read an answer up to our limit.

    The status has decided already, so a body that breaks off or drags on changes nothing.
    """
    kept = bytearray()
    total = 0
    try:
        while total < MAX_ANSWER_BYTES and (chunk := await response.content.readany()):
            total += len(chunk)
            kept += chunk[: EXCERPT_BYTES - len(kept)]
    except (aiohttp.ClientError, TimeoutError, OSError):
        response.close()
    return bytes(kept)
