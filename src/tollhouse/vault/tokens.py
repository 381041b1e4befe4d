"""Tokens: a card for one payment within a quarter of an hour.

Making one is a single durable write, shared with whatever other tokens wait. Reading one changes nothing; the begin
step of the payment consumes it, so of two payments with one token exactly one wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from tollhouse.vault.seal import Sealed, pack_card
from tollhouse.vault.security_codes import SealedCode, insert_security_codes, queries

if TYPE_CHECKING:
    from tollhouse.kernel.card import Card, Cvv
    from tollhouse.kernel.clock import DatabaseClock
    from tollhouse.storage.coalesce import Coalescer
    from tollhouse.storage.database import PlainConnection
    from tollhouse.vault.security_codes import SecurityCodes
    from tollhouse.vault.vault import Vault

TOKEN_LIFE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token to be stored. `request` is the X-Request-ID with a digest of the body, when the client sent one."""

    token_id: UUID
    merchant_id: int | None
    #: None for one that stands for a stored card, `account_id`.
    card: Sealed | None
    code: SealedCode | None
    expires_at: datetime
    account_id: UUID | None = None
    request: tuple[str, bytes] | None = None


@dataclass(frozen=True, slots=True)
class Minted:
    """A stored token. `is_replay` tells that an earlier request with the same id and body made it."""

    token_id: UUID
    expires_at: datetime
    is_replay: bool = False


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A token as it stands. `card` is None once it was used or swept, and where it stands for a stored card."""

    token_id: UUID
    merchant_id: int | None
    card: Sealed | None
    code: SealedCode | None
    expires_at: datetime
    used_by: int | None
    account_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Mint:
    """What making tokens takes."""

    vault: Vault
    security_codes: SecurityCodes
    lane: Coalescer[NewToken, Minted]
    clock: DatabaseClock


async def tokenize(
    mint: Mint, card: Card, code: Cvv | None, *, merchant_id: int | None, request: tuple[str, bytes] | None
) -> Minted:
    """Seal a card and its security code, store them as a token and return it after the commit.

    Raises Unavailable when the token could not be stored; then there is none.
    """
    token_id, now = uuid4(), mint.clock.now()
    expires_at = now + TOKEN_LIFE
    sealed_code = None
    if code is not None:
        sealed_code = await mint.security_codes.seal(code, holder_id=token_id, now=now, expires_at=expires_at)
    sealed_card = mint.vault.seal_token_card(card, token_id=token_id)
    return await mint.lane.submit(
        NewToken(token_id, merchant_id, sealed_card, sealed_code, expires_at, request=request)
    )


async def tokenize_account(
    mint: Mint, code: Cvv, *, merchant_id: int, account_id: UUID, request: tuple[str, bytes] | None
) -> Minted:
    """Store a token that stands for a stored card with a fresh security code; it works for the card's merchant only.

    The card stays where it is. Raises Unavailable when the token could not be stored; then there is none.
    """
    token_id, now = uuid4(), mint.clock.now()
    expires_at = now + TOKEN_LIFE
    sealed_code = await mint.security_codes.seal(code, holder_id=token_id, now=now, expires_at=expires_at)
    return await mint.lane.submit(
        NewToken(token_id, merchant_id, None, sealed_code, expires_at, account_id=account_id, request=request)
    )


def digest_card(vault: Vault, card: Card, code: Cvv | None) -> bytes:
    """Hash under a key what makes two tokenize requests the same. The digest lives no longer than the token."""
    parts = (pack_card(card).decode(), code.reveal() if code else "")
    return vault.digest("|".join(parts).encode())


def digest_account(vault: Vault, account_id: UUID, consumer_id: str, code: Cvv) -> bytes:
    """Hash under a key what makes two requests for a token of a stored card the same, as long as the token lives."""
    return vault.digest(f"{account_id}|{consumer_id}|{code.reveal()}".encode())


async def flush_tokens(clock: DatabaseClock, connection: PlainConnection, tokens: Sequence[NewToken]) -> list[Minted]:
    """Store a batch of tokens; of those that repeat an earlier request, return the earlier one's."""
    async with connection.transaction():
        earlier = await _claim_requests(connection, [token for token in tokens if token.request])
        fresh = [token for token in tokens if token.token_id not in earlier]
        if fresh:
            clock.observe(await _insert_tokens(connection, fresh))
    return [earlier.get(token.token_id) or Minted(token.token_id, token.expires_at) for token in tokens]


async def _insert_tokens(connection: PlainConnection, tokens: Sequence[NewToken]) -> datetime:
    """Store tokens with their security codes, and return the database's time."""
    await insert_security_codes(connection, [token.code for token in tokens if token.code])
    database_time: datetime = await queries.insert_tokens(
        connection,
        token_ids=[token.token_id for token in tokens],
        merchant_ids=[token.merchant_id for token in tokens],
        account_ids=[token.account_id for token in tokens],
        key_versions=[token.card.key_version if token.card else None for token in tokens],
        sealed_cards=[token.card.content if token.card else None for token in tokens],
        expires_at=[token.expires_at for token in tokens],
    )
    return database_time


async def _claim_requests(connection: PlainConnection, tokens: Sequence[NewToken]) -> dict[UUID, Minted]:
    """Take the request ids of a batch and return, by their would-be ids, the tokens that others made before."""
    asked = sorted(((*token.request, token) for token in tokens if token.request), key=lambda row: row[:2])
    if not asked:
        return {}
    claiming = {row[:2]: row[2] for row in asked}
    keys = {"request_ids": [key[0] for key in claiming], "body_digests": [key[1] for key in claiming]}
    await queries.claim_token_requests(
        connection,
        **keys,
        token_ids=[token.token_id for token in claiming.values()],
        expires_at=[token.expires_at for token in claiming.values()],
    )
    made = {
        (row["request_id"], row["body_digest"]): Minted(row["token_id"], row["expires_at"], is_replay=True)
        async for row in queries.select_token_requests(connection, **keys)
    }
    by_token = {token.token_id: made[request_id, digest] for request_id, digest, token in asked}
    return {token_id: minted for token_id, minted in by_token.items() if minted.token_id != token_id}


async def select_token(connection: PlainConnection, token_id: UUID, *, merchant_id: int) -> StoredToken | None:
    """Return a token with what is sealed in it, or None when there is none or it was swept away.

    A token knows no merchant when it is made. For the one who wants to use it now, `expires_at` is earlier by what that
    merchant's clock was advanced since (behaviour, section 7); it is real time all the same.
    """
    row = await queries.select_token(connection, token_id=token_id, merchant_id=merchant_id, life=TOKEN_LIFE)
    if row is None:
        return None
    has_code = row["sealed_code"] is not None
    return StoredToken(
        token_id=token_id,
        merchant_id=row["merchant_id"],
        card=Sealed(row["sealed_card"], row["key_version"]) if row["sealed_card"] is not None else None,
        code=SealedCode(token_id, row["short_key_id"], row["sealed_code"], row["code_expires_at"])
        if has_code
        else None,
        expires_at=row["expires_at"],
        used_by=row["used_by"],
        account_id=row["account_id"],
    )
