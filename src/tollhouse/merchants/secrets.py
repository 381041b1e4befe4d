"""IPN secrets: sealed, because signing needs their text. During a rotation the old and the new secret are both valid.

A listener that compares one exact signature knows one secret. Therefore the old secret stays first, and signs messages
with one signature, until the rotation ends: by time, or when the merchant confirms that the listener has the new
secret.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from tollhouse.kernel.errors import Invalid, NotFound, TollhouseError
from tollhouse.kernel.remember import TimedCache
from tollhouse.merchants.store import queries
from tollhouse.storage.database import Database, PlainConnection

#: A changed secret is used within this time.
CACHE_TIMEOUT_SECONDS = 5.0

#: Time in which two secrets are valid. Rejected deliveries are retried for longer, so a listener that gets its new
#: secret by the end of the overlap misses nothing.
DEFAULT_OVERLAP = timedelta(days=1)
MAX_OVERLAP = timedelta(days=4)

SECRET_RANDOM_BYTES = 32

NO_ROTATION = "No rotation of this IPN secret is in progress."

log = structlog.get_logger()


class RotationUnderWay(TollhouseError):
    """A rotation of the secret is in progress."""


class IpnSecrets:
    """A cache of IPN secrets by merchant. `unseal` opens the stored value of a merchant."""

    def __init__(self, database: Database, unseal: Callable[[int, bytes], str]) -> None:
        self._database = database
        self._unseal = unseal
        self._known = TimedCache(self._read, seconds=CACHE_TIMEOUT_SECONDS)

    async def of(self, merchant_id: int) -> list[str]:
        """Return the merchant's secrets; if only one may sign, it is the first. Raises NotFound."""
        return await self._known.get(merchant_id)

    async def probe(self) -> None:
        """Open one secret, if there is any merchant. Raises SealBroken if the database was sealed with other keys."""
        async with self._database.acquire() as connection:
            merchant_id = await queries.select_any_merchant_id(connection)
        if merchant_id is not None:
            await self.of(merchant_id)

    async def _read(self, merchant_id: int) -> list[str]:
        async with self._database.acquire() as connection:
            row = await queries.select_ipn_secrets(connection, merchant_id=merchant_id)
        if row is None:
            raise NotFound("The merchant was not found.")
        sealed = [row["ipn_secret"], row["next_ipn_secret"]]
        return [self._unseal(merchant_id, secret) for secret in sealed if secret is not None]


def new_ipn_secret() -> str:
    """Draw an IPN secret."""
    return f"ipn_{secrets.token_hex(SECRET_RANDOM_BYTES)}"


async def find_merchant(connection: PlainConnection, name: str) -> int:
    """Return the merchant ID for an ID or a name. Raises NotFound unless exactly one merchant matches."""
    found = [row["merchant_id"] async for row in queries.select_merchants_named(connection, name=name, most=2)]
    if len(found) != 1:
        raise NotFound("Several merchants have this name. Give the ID." if found else "The merchant was not found.")
    merchant_id: int = found[0]
    return merchant_id


async def begin_rotation(
    connection: PlainConnection, *, merchant_id: int, sealed: bytes, overlap: timedelta = DEFAULT_OVERLAP
) -> datetime:
    """Add a sealed secret that replaces the merchant's current one after an overlap. Return the end of the overlap.

    Raises Invalid for an overlap past the bound, and RotationUnderWay.
    """
    if not timedelta() <= overlap <= MAX_OVERLAP:
        raise Invalid({}, f"The overlap must be from 0 to {MAX_OVERLAP // timedelta(hours=1)} hours.")
    row = await queries.update_ipn_secret_next(connection, merchant_id=merchant_id, sealed=sealed, overlap=overlap)
    if row is None:
        raise RotationUnderWay("A rotation of this IPN secret is in progress. Finish or cancel it first.")
    ends_at: datetime = row["next_ipn_secret_from"]
    log.info("ipn_secret.rotation_begun", merchant_id=merchant_id, ends_at=ends_at.isoformat())
    return ends_at


async def finish_rotation(connection: PlainConnection, *, merchant_id: int) -> None:
    """End the overlap now, so that only the new secret is valid. Raises NotFound if no rotation is in progress."""
    if await queries.update_ipn_secret_taken(connection, merchant_id=merchant_id) is None:
        raise NotFound(NO_ROTATION)
    log.info("ipn_secret.rotation_finished", merchant_id=merchant_id)


async def cancel_rotation(connection: PlainConnection, *, merchant_id: int) -> None:
    """Withdraw the new secret, so that only the old one is valid. Raises NotFound if no rotation is in progress."""
    if await queries.update_ipn_secret_kept(connection, merchant_id=merchant_id) is None:
        raise NotFound(NO_ROTATION)
    log.info("ipn_secret.rotation_canceled", merchant_id=merchant_id)


async def select_sealed_secret(connection: PlainConnection, *, merchant_id: int) -> bytes:
    """Return the merchant's current secret, sealed. Raises NotFound."""
    row = await queries.select_ipn_secrets(connection, merchant_id=merchant_id)
    if row is None:
        raise NotFound("The merchant was not found.")
    sealed: bytes = row["ipn_secret"]
    return sealed


async def select_rotation_end(connection: PlainConnection, *, merchant_id: int) -> datetime | None:
    """Return the end of the current rotation, or None. Raises NotFound."""
    row = await queries.select_ipn_secrets(connection, merchant_id=merchant_id)
    if row is None:
        raise NotFound("The merchant was not found.")
    ends_at: datetime | None = row["next_ipn_secret_from"]
    return ends_at
