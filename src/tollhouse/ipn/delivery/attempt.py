"""Post one event: sign it, send it, read a bounded response. Nothing that an endpoint does raises an exception."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import aiohttp
import structlog
from yarl import URL

from tollhouse import __version__
from tollhouse.ipn.delivery.names import format_address
from tollhouse.ipn.delivery.schedule import parse_retry_after
from tollhouse.ipn.delivery.session import CallbackSession, Peer, peer
from tollhouse.ipn.form import Form
from tollhouse.ipn.message import legacy
from tollhouse.ipn.message.signature import sign_status, sign_webhook
from tollhouse.ipn.model import AttemptError, Delivery, DeliveryAttempt
from tollhouse.kernel.addresses import parse_address
from tollhouse.kernel.ids import format_event_id
from tollhouse.kernel.urls import AddressPolicy, AddressRefused, check_url
from tollhouse.transport.http import build_exact_url

#: The statuses that acknowledge a callback.
ACKNOWLEDGED = frozenset({200, 201, 202})
REDIRECTIONS = range(300, 400)

#: Bytes of a response that are read, so that the connection can be reused, and bytes that are stored.
MAX_RESPONSE_BYTES = 16 * 1024
MAX_EXCERPT_BYTES = 1024

CONTENT_TYPES: Mapping[Form, str] = {"json": "application/json", "legacy": legacy.CONTENT_TYPE}
USER_AGENT = f"Tollhouse/{__version__}"

#: Returns a merchant's current IPN secret, then an earlier one that is still valid. Called for every attempt.
SecretsOf = Callable[[int], Awaitable[Sequence[str]]]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class AttemptLimits:
    """Time-outs of an attempt: `connect_seconds` for its connection, `total_seconds` for the whole.

    The total includes a second try. Before it begins, an attempt waits up to `slot_seconds` for a slot of its address.
    """

    connect_seconds: float = 3.0
    total_seconds: float = 15.0
    slot_seconds: float = 3.0


def write_body(delivery: Delivery, secret: str) -> bytes:
    """Build the body: the JSON of the event, or the signed form with its XML."""
    if delivery.form == "json":
        return delivery.body
    signature = legacy.sign(
        secret, order_id=str(delivery.payment_id or ""), kind=delivery.kind, status=delivery.status or ""
    )
    return legacy.write_form(delivery.body, signature)


def build_headers(delivery: Delivery, secrets: Sequence[str], *, timestamp: int) -> dict[str, str]:
    """Build the headers of an attempt.

    The first secret signs `X-Signature`, all of them sign `webhook-signature`. `timestamp` is the Unix time of this
    attempt; all other values are the same in every attempt.
    """
    webhook_id = format_event_id(delivery.event_id)
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
    session: CallbackSession, delivery: Delivery, *, secrets_of: SecretsOf, policy: AddressPolicy, limits: AttemptLimits
) -> DeliveryAttempt | None:
    """Post an event once and return the attempt; None if no slot of its address was free in time."""
    target = Peer(delivery.merchant_id)
    token = peer.set(target)
    begun = time.monotonic()
    try:
        check_url(delivery.url, policy)
        url = build_exact_url(delivery.url)
        slot = await _find_slot(session, url, limits, target)
        looked_up = time.monotonic() - begun
        async with session.slots.hold(slot, seconds=limits.slot_seconds) as held:
            if not held:
                return None
            posting = _Posting(delivery, url, secrets_of, limits, time.monotonic() - looked_up + limits.total_seconds)
            return await _attempt(session, posting, target)
    except Exception as caught:  # noqa: BLE001 - any error that an endpoint causes is a failed attempt
        return _fail(caught, delivery, target, begun)
    finally:
        peer.reset(token)


def find_status_error(status: int) -> AttemptError | None:
    """Return None for a status that acknowledges, else the error."""
    if status in ACKNOWLEDGED:
        return None
    return "redirected" if status in REDIRECTIONS else "not_acknowledged"


def classify_error(error: BaseException) -> AttemptError:
    """Return the error of an attempt without a response."""
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, AddressRefused):
        return "address_refused"
    return next((word for kind, word in _WORDS if isinstance(error, kind)), "internal")


def decode_excerpt(excerpt: bytes) -> str:
    """Decode the beginning of a response as text. PostgreSQL does not accept NUL."""
    return excerpt[:MAX_EXCERPT_BYTES].decode("utf-8", "replace").replace("\x00", "\N{REPLACEMENT CHARACTER}")


#: Special errors come before general ones.
_WORDS: Sequence[tuple[type[BaseException], AttemptError]] = (
    (AddressRefused, "address_refused"),
    (aiohttp.InvalidURL, "address_refused"),
    (aiohttp.ClientConnectorDNSError, "dns_failed"),
    (socket.gaierror, "dns_failed"),
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
class _Posting:
    """A delivery with its URL and its deadline on the monotonic clock."""

    delivery: Delivery
    url: URL
    secrets_of: SecretsOf
    limits: AttemptLimits
    deadline: float


async def _find_slot(session: CallbackSession, url: URL, limits: AttemptLimits, target: Peer) -> tuple[int, str]:
    """Return the merchant and the address that need a slot. On loopback the address includes the port.

    Raises OSError if the host has no address, AddressRefused if the policy forbids one.
    """
    host = url.host or ""
    try:
        address = parse_address(host)
    except ValueError:
        try:
            async with asyncio.timeout(limits.connect_seconds):
                found = await session.names.find(host, merchant_id=target.merchant_id)
        except TimeoutError:
            raise aiohttp.ConnectionTimeoutError from None
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "The host has no address.") from None
        address = parse_address(format_address(found[0][4]))
    return target.merchant_id, f"{address}:{url.port}" if address.is_loopback else str(address)


async def _attempt(session: CallbackSession, posting: _Posting, target: Peer) -> DeliveryAttempt:
    """Make an attempt that has its slot."""
    begun = time.monotonic()
    started_at = datetime.now(UTC)
    try:
        status, excerpt, retry_after = await _exchange_with_fresh_connection(session, posting, target)
    except Exception as caught:  # noqa: BLE001 - as above
        return _fail(caught, posting.delivery, target, begun)
    return DeliveryAttempt(
        started_at=started_at,
        duration_ms=round((time.monotonic() - begun) * 1000),
        address=target.address,
        status=status,
        error=find_status_error(status),
        excerpt=decode_excerpt(excerpt),
        retry_after_seconds=parse_retry_after(retry_after, now=datetime.now(UTC)),
    )


def _fail(caught: Exception, delivery: Delivery, target: Peer, begun: float) -> DeliveryAttempt:
    """Return a failed attempt with its error."""
    error = classify_error(caught)
    if error == "internal":
        log.error(
            "delivery_attempt.failed", merchant_id=delivery.merchant_id, event_id=delivery.event_id, exc_info=caught
        )
    seconds = time.monotonic() - begun
    return DeliveryAttempt(
        started_at=datetime.now(UTC) - timedelta(seconds=seconds),
        duration_ms=round(seconds * 1000),
        address=target.address,
        error=error,
    )


async def _exchange_with_fresh_connection(
    session: CallbackSession, posting: _Posting, target: Peer
) -> tuple[int, bytes, str | None]:
    """Exchange, and repeat once if the other side closed a kept connection as we reused it.

    The repetition has the same deadline, is signed again, and uses a new connection.
    """
    try:
        return await _exchange(session.kept, posting)
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
        if target.opened or isinstance(error, aiohttp.ClientConnectorError):
            raise
    return await _exchange(session.fresh, posting)


async def _exchange(session: aiohttp.ClientSession, posting: _Posting) -> tuple[int, bytes, str | None]:
    """Sign and post; return the status, the beginning of the response, and its `Retry-After`."""
    delivery, limits = posting.delivery, posting.limits
    secrets = await posting.secrets_of(delivery.merchant_id)
    left = posting.deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    timeout = aiohttp.ClientTimeout(total=left, connect=limits.connect_seconds)
    headers = build_headers(delivery, secrets, timestamp=int(time.time()))
    body = write_body(delivery, secrets[0])
    async with session.post(
        posting.url, data=body, headers=headers, timeout=timeout, allow_redirects=False
    ) as response:
        return response.status, await _read_excerpt(response), response.headers.get("Retry-After")


async def _read_excerpt(response: aiohttp.ClientResponse) -> bytes:
    """Read a response up to our limit.

    The status has decided already, so an incomplete or slow body changes nothing.
    """
    kept = bytearray()
    total = 0
    try:
        while total < MAX_RESPONSE_BYTES and (chunk := await response.content.readany()):
            total += len(chunk)
            kept += chunk[: MAX_EXCERPT_BYTES - len(kept)]
    except (aiohttp.ClientError, TimeoutError, OSError):
        response.close()
    return bytes(kept)
