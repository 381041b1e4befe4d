"""IPN secrets: sealed, because signing needs their text. A rotation replaces a secret; both are valid while it lasts.

A listener that compares exactly knows one secret. Therefore the old secret stays the first one, which signs what has
one signature, until the rotation ends: by its time, or when the merchant says that the listener has the new secret.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from tollhouse.kernel.errors import Invalid, NotFound, TollhouseError
from tollhouse.kernel.remember import Remembered
from tollhouse.merchants.store import queries

if TYPE_CHECKING:
    from collections.abc import Callable

    from tollhouse.storage.database import Database, PlainConnection

#: A change of secrets is taken up within this time.
REMEMBER_SECONDS = 5.0

#: How long two secrets are valid. Deliveries that are refused are repeated for longer, so a listener that has its new
#: secret at the end of an overlap at the latest misses nothing.
DEFAULT_OVERLAP = timedelta(days=1)
MAX_OVERLAP = timedelta(days=4)

SECRET_RANDOM_BYTES = 32

NO_ROTATION = "No rotation of this IPN secret is under way."

log = structlog.get_logger()


class RotationUnderWay(TollhouseError):
    """The secret is being rotated already."""


class IpnSecrets:
    """Reads IPN secrets and remembers them by merchant. `unseal` opens what the row holds for that merchant."""

    def __init__(self, database: Database, unseal: Callable[[int, bytes], str]) -> None:
        self._database = database
        self._unseal = unseal
        self._known = Remembered(self._read, seconds=REMEMBER_SECONDS)

    async def of(self, merchant_id: int) -> list[str]:
        """Return the merchant's secrets, the one that signs alone where only one can first. Raises NotFound."""
        return await self._known.get(merchant_id)

    async def probe(self) -> None:
        """Open one secret, if there is any merchant. Raises SealBroken when the database was sealed with other keys."""
        async with self._database.acquire() as connection:
            merchant_id = await queries.select_any_merchant_id(connection)
        if merchant_id is not None:
            await self.of(merchant_id)

    async def _read(self, merchant_id: int) -> list[str]:
        async with self._database.acquire() as connection:
            row = await queries.select_ipn_secrets(connection, merchant_id=merchant_id)
        if row is None:
            raise NotFound("There is no such merchant.")
        sealed = [row["ipn_secret"], row["next_ipn_secret"]]
        return [self._unseal(merchant_id, secret) for secret in sealed if secret is not None]


def new_ipn_secret() -> str:
    """Draw an IPN secret."""
    return f"ipn_{secrets.token_hex(SECRET_RANDOM_BYTES)}"


async def find_merchant(connection: PlainConnection, name: str) -> int:
    """Return the id of the merchant with an id or a name. Raises NotFound when there is none, or more than one."""
    found = [row["merchant_id"] async for row in queries.select_merchants_named(connection, name=name, most=2)]
    if len(found) != 1:
        raise NotFound("Several merchants have this name; give the id." if found else "There is no such merchant.")
    merchant_id: int = found[0]
    return merchant_id


async def begin_rotation(
    connection: PlainConnection, *, merchant_id: int, sealed: bytes, overlap: timedelta = DEFAULT_OVERLAP
) -> datetime:
    """Let a sealed secret follow the merchant's present one after an overlap; return the end of the overlap.

    Raises Invalid for an overlap past the bound, and RotationUnderWay.
    """
    if not timedelta() <= overlap <= MAX_OVERLAP:
        raise Invalid({"overlap": [f"must be from 0 to {MAX_OVERLAP // timedelta(hours=1)} hours"]})
    row = await queries.update_ipn_secret_next(connection, merchant_id=merchant_id, sealed=sealed, overlap=overlap)
    if row is None:
        raise RotationUnderWay("A rotation of this IPN secret is under way. Finish or cancel it first.")
    ends_at: datetime = row["next_ipn_secret_from"]
    log.info("ipn_secret.rotation_begun", merchant_id=merchant_id, ends_at=ends_at.isoformat())
    return ends_at


async def finish_rotation(connection: PlainConnection, *, merchant_id: int) -> None:
    """End the overlap now: only the new secret is valid. Raises NotFound when no rotation is under way."""
    if await queries.update_ipn_secret_taken(connection, merchant_id=merchant_id) is None:
        raise NotFound(NO_ROTATION)
    log.info("ipn_secret.rotation_finished", merchant_id=merchant_id)


async def cancel_rotation(connection: PlainConnection, *, merchant_id: int) -> None:
    """Withdraw the new secret: only the old one is valid. Raises NotFound when no rotation is under way."""
    if await queries.update_ipn_secret_kept(connection, merchant_id=merchant_id) is None:
        raise NotFound(NO_ROTATION)
    log.info("ipn_secret.rotation_canceled", merchant_id=merchant_id)


async def select_sealed_secret(connection: PlainConnection, *, merchant_id: int) -> bytes:
    """Return the merchant's present secret, sealed. Raises NotFound."""
    row = await queries.select_ipn_secrets(connection, merchant_id=merchant_id)
    if row is None:
        raise NotFound("There is no such merchant.")
    sealed: bytes = row["ipn_secret"]
    return sealed


async def select_rotation_end(connection: PlainConnection, *, merchant_id: int) -> datetime | None:
    """Return when the rotation that is under way ends, or None without one. Raises NotFound."""
    row = await queries.select_ipn_secrets(connection, merchant_id=merchant_id)
    if row is None:
        raise NotFound("There is no such merchant.")
    ends_at: datetime | None = row["next_ipn_secret_from"]
    return ends_at
