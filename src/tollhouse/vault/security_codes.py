"""Card security codes between a request and the acquirer's answer.

A code is sealed under a key that lives minutes and stands in a table of its own, away from card data. It is deleted
with the answer; and when its key is deleted, it is gone from every copy of the database too (PCI DSS 4.0.1, 3.3.1.2
and 3.3.2).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tollhouse.kernel.card import Cvv
from tollhouse.storage.database import Database, PlainConnection
from tollhouse.storage.queries import load_queries
from tollhouse.vault.keys import KEY_BYTES, NONCE_BYTES, KeyProvider

#: How long a key seals new codes.
KEY_USE = timedelta(minutes=5)
#: How long a code may live: the life of a token, and then that of a challenge.
CODE_LIFE = timedelta(minutes=15)
#: How long a key lives after its last use.
KEY_LIFE = KEY_USE + 2 * CODE_LIFE + timedelta(minutes=5)
#: Opened keys that a process remembers.
REMEMBERED_KEYS = 32

queries = load_queries("tollhouse.vault")


@dataclass(frozen=True, slots=True)
class SealedCode:
    """A security code that `holder_id` (a token, an authentication) keeps until `expires_at`."""

    holder_id: UUID
    short_key_id: int
    sealed: bytes
    expires_at: datetime


@dataclass(frozen=True, slots=True, repr=False)
class _ShortKey:
    """A key in the clear. It seals until `seals_until` and opens until `expires_at`."""

    short_key_id: int
    key: bytes
    seals_until: datetime
    expires_at: datetime


class SecurityCodes:
    """Seals and opens security codes under short-lived keys, which it makes when it needs one."""

    def __init__(self, keys: KeyProvider, database: Database) -> None:
        self._keys = keys
        self._database = database
        self._opened: dict[int, _ShortKey] = {}
        self._current: _ShortKey | None = None
        self._making = asyncio.Lock()

    async def seal(self, code: Cvv, *, holder_id: UUID, now: datetime, expires_at: datetime) -> SealedCode:
        """Seal a code for its holder."""
        current = await self._find_current(now)
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = nonce + AESGCM(current.key).encrypt(nonce, code.reveal().encode(), holder_id.bytes)
        return SealedCode(holder_id, current.short_key_id, sealed, expires_at)

    async def open(self, code: SealedCode, *, now: datetime) -> Cvv | None:
        """Open a code, or return None when its time has passed or its key is gone."""
        if code.expires_at <= now:
            return None
        opened = self._opened.get(code.short_key_id) or await self._load(code.short_key_id, now)
        if opened is None or opened.expires_at <= now:
            return None
        key = AESGCM(opened.key)
        try:
            clear = key.decrypt(code.sealed[:NONCE_BYTES], code.sealed[NONCE_BYTES:], code.holder_id.bytes)
        except InvalidTag:
            return None
        return Cvv(clear.decode())

    async def _find_current(self, now: datetime) -> _ShortKey:
        if self._current is not None and now < self._current.seals_until:
            return self._current
        async with self._making:
            if self._current is None or now >= self._current.seals_until:
                self._current = await self._make(now)
            return self._current

    async def _make(self, now: datetime) -> _ShortKey:
        key, expires_at = secrets.token_bytes(KEY_BYTES), now + KEY_LIFE
        async with self._database.acquire() as connection:
            short_key_id: int = await queries.insert_short_key(
                connection,
                key_version=self._keys.current_version,
                wrapped_key=self._keys.wrap(key, bound_to=b"short key"),
                expires_at=expires_at,
            )
        return self._remember(_ShortKey(short_key_id, key, now + KEY_USE, expires_at), now)

    async def _load(self, short_key_id: int, now: datetime) -> _ShortKey | None:
        """Open a key that another process made, or this one before it was restarted."""
        async with self._database.acquire() as connection:
            row = await queries.select_short_key(connection, short_key_id=short_key_id)
        if row is None:
            return None
        key = self._keys.unwrap(row["wrapped_key"], version=row["key_version"], bound_to=b"short key")
        return self._remember(_ShortKey(short_key_id, key, now, row["expires_at"]), now)

    def _remember(self, opened: _ShortKey, now: datetime) -> _ShortKey:
        """Keep a key at hand; those that ran out are forgotten, and the oldest when there are too many."""
        self._opened = {id_: known for id_, known in self._opened.items() if known.expires_at > now}
        while len(self._opened) >= REMEMBERED_KEYS:
            self._opened.pop(next(iter(self._opened)))
        self._opened[opened.short_key_id] = opened
        return opened


async def insert_security_codes(connection: PlainConnection, codes: Sequence[SealedCode]) -> None:
    """Store sealed codes in the caller's transaction; a repeated batch finds its own and leaves them."""
    if codes:
        await queries.insert_security_codes(
            connection,
            holder_ids=[code.holder_id for code in codes],
            short_key_ids=[code.short_key_id for code in codes],
            sealed=[code.sealed for code in codes],
            expires_at=[code.expires_at for code in codes],
        )


async def select_security_code(connection: PlainConnection, holder_id: UUID) -> SealedCode | None:
    """Return the sealed code of a holder, if it still has one."""
    row = await queries.select_security_code(connection, holder_id=holder_id)
    return SealedCode(holder_id, row["short_key_id"], row["sealed"], row["expires_at"]) if row else None


async def delete_security_codes(connection: PlainConnection, holder_ids: Sequence[UUID]) -> None:
    """Erase the codes of these holders in the caller's transaction."""
    if holder_ids:
        await queries.delete_security_codes(connection, holder_ids=list(holder_ids))


async def sweep_vault(connection: PlainConnection) -> None:
    """Erase what has run out: security codes, their keys, cards of tokens that nobody used, old tokens."""
    await queries.delete_expired_security_codes(connection)
    await queries.delete_expired_short_keys(connection)
    await queries.update_expired_tokens(connection)
    await queries.delete_old_tokens(connection)
    await queries.delete_expired_token_requests(connection)
