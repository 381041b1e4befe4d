"""Card security codes between a request and the acquirer's response.

A code is stored in a table of its own, apart from card data, and deleted with the response. Neither key that opens one
is in the database, so a copy of the database cannot open a code: the key of a token's code derives from the token,
which is stored only as a hash, and the key of an open challenge is in memory (PCI DSS 4.0.1, 3.3.1.2 and 3.3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import structlog

from tollhouse.kernel.card import Cvv
from tollhouse.kernel.errors import SealBroken
from tollhouse.storage.database import PlainConnection
from tollhouse.storage.queries import load_queries
from tollhouse.storage.sweep import Sweep, sweep_expired
from tollhouse.vault.ring import KeyDirectoryUnsafe, SecurityCodeKeys, is_alive
from tollhouse.vault.seal import seal_under, unseal_under

#: Lifetime of a code, from the request that contained it.
CODE_LIFE = timedelta(minutes=15)
MINUTE_BYTES = 8

queries = load_queries("tollhouse.vault")
log = structlog.get_logger()


class SealedCode(NamedTuple):
    """A security code of `holder_id` (a token ID, or a series of authentications), valid until `expires_at`."""

    holder_id: UUID
    sealed: bytes
    expires_at: datetime


class SecurityCodes:
    """A sealer of the security codes of open challenges, with keys in memory.

    The minute of the key precedes the sealed value. Another machine has another key for that minute, or none.
    """

    def __init__(self, ring: SecurityCodeKeys) -> None:
        self._ring = ring

    def seal(self, code: Cvv, *, holder_id: UUID, now: datetime, expires_at: datetime) -> SealedCode | None:
        """Seal a code for its holder.

        Return None if no key can be stored; the payment then continues without the code.
        """
        minute = _minute_of(now)
        try:
            key = self._ring.get_or_create(minute)
        except (OSError, KeyDirectoryUnsafe) as error:
            log.warning("security_code_key.store_failed", error=type(error).__name__)
            return None
        sealed = seal_under(key, code.reveal().encode(), bound_to=f"challenge|{holder_id}|{minute}")
        return SealedCode(holder_id, minute.to_bytes(MINUTE_BYTES, "big") + sealed, expires_at)

    def open(self, code: SealedCode, *, now: datetime) -> Cvv | None:
        """Open a code. Return None if it has expired, its key was erased, or another machine sealed it."""
        minute = int.from_bytes(code.sealed[:MINUTE_BYTES], "big")
        key = self._ring.find(minute) if code.expires_at > now and is_alive(minute, _minute_of(now)) else None
        if key is None:
            return None
        try:
            clear = unseal_under(key, code.sealed[MINUTE_BYTES:], bound_to=f"challenge|{code.holder_id}|{minute}")
        except SealBroken:
            return None
        return Cvv(clear.decode())

    def forget_keys(self, now: datetime) -> None:
        """Erase expired keys."""
        self._ring.sweep(_minute_of(now))


def _minute_of(time: datetime) -> int:
    return int(time.timestamp()) // 60


async def insert_security_codes(connection: PlainConnection, codes: Sequence[SealedCode]) -> None:
    """Store sealed codes in the caller's database transaction. A repeated batch keeps the stored ones."""
    if codes:
        await queries.insert_security_codes(
            connection,
            holder_ids=[code.holder_id for code in codes],
            sealed=[code.sealed for code in codes],
            expires_at=[code.expires_at for code in codes],
        )


async def select_security_code(connection: PlainConnection, holder_id: UUID) -> SealedCode | None:
    """Return the sealed code of a holder, or None."""
    row = await queries.select_security_code(connection, holder_id=holder_id)
    return SealedCode(holder_id, row["sealed"], row["expires_at"]) if row else None


#: Until a token is deleted, its late use gets an exact error.
TOKENS_KEPT = timedelta(days=1)
#: Expired security codes, cards of unused tokens, old tokens.
SWEEPS = (
    sweep_expired("security_code", "expires_at"),
    Sweep("token_card", queries.update_expired_tokens, queries.select_token_cards_lag),
    sweep_expired("token", "expires_at", kept=TOKENS_KEPT),
)
