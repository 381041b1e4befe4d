"""Tokens: a card for one payment within a quarter of an hour.

The token itself is the secret: card and security code are sealed under keys derived from it and from the key provider,
and the database has only its hash. Making a token is a single durable write, shared with the other tokens that wait.
Reading one changes nothing; the begin step of the payment consumes it, so of two payments with one token exactly one
wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from tollhouse.kernel.clock import floor_second
from tollhouse.vault.seal import derive_token_id
from tollhouse.vault.security_codes import SealedCode, insert_security_codes, queries

if TYPE_CHECKING:
    from tollhouse.kernel.card import Card, Cvv
    from tollhouse.kernel.clock import DatabaseClock
    from tollhouse.storage.coalesce import Coalescer
    from tollhouse.storage.database import PlainConnection
    from tollhouse.vault.vault import Vault

TOKEN_LIFE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token to be stored, by its hash."""

    token_id: UUID
    merchant_id: int | None
    #: None for one that stands for a stored card, `account_id`.
    sealed_card: bytes | None
    code: SealedCode | None
    expires_at: datetime
    account_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Minted:
    """A new token, which is told to its client and to nobody else."""

    token: UUID
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A token as it stands, with the token itself, which its client has sent.

    `sealed_card` is None once it was used or swept, and if it stands for a stored card.
    """

    token: UUID
    token_id: UUID
    merchant_id: int | None
    sealed_card: bytes | None
    code: SealedCode | None
    expires_at: datetime
    used_by: int | None
    account_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Mint:
    """The dependencies of making tokens."""

    vault: Vault
    lane: Coalescer[NewToken, None]
    clock: DatabaseClock


async def tokenize(mint: Mint, card: Card, code: Cvv | None, *, merchant_id: int | None) -> Minted:
    """Seal a card and its security code, store them as a token and return it after the commit.

    Raises Unavailable when the token could not be stored; then there is none.
    """
    token = uuid4()
    return await _store(mint, token, code, merchant_id=merchant_id, card=mint.vault.seal_token_card(card, token=token))


async def tokenize_account(mint: Mint, code: Cvv, *, merchant_id: int, account_id: UUID) -> Minted:
    """Store a token that stands for a stored card with a fresh security code; it works for the card's merchant only.

    The card stays where it is. Raises Unavailable when the token could not be stored; then there is none.
    """
    return await _store(mint, uuid4(), code, merchant_id=merchant_id, account_id=account_id)


async def _store(
    mint: Mint,
    token: UUID,
    code: Cvv | None,
    *,
    merchant_id: int | None,
    card: bytes | None = None,
    account_id: UUID | None = None,
) -> Minted:
    token_id, expires_at = derive_token_id(token), mint.clock.now() + TOKEN_LIFE
    sealed_code = None
    if code is not None:
        sealed_code = SealedCode(token_id, mint.vault.seal_token_code(code, token=token), expires_at)
    await mint.lane.submit(NewToken(token_id, merchant_id, card, sealed_code, expires_at, account_id))
    return Minted(token, floor_second(expires_at))


async def flush_tokens(clock: DatabaseClock, connection: PlainConnection, tokens: Sequence[NewToken]) -> list[None]:
    """Store a batch of tokens with their security codes."""
    async with connection.transaction():
        await insert_security_codes(connection, [token.code for token in tokens if token.code])
        database_time: datetime = await queries.insert_tokens(
            connection,
            token_ids=[token.token_id for token in tokens],
            merchant_ids=[token.merchant_id for token in tokens],
            account_ids=[token.account_id for token in tokens],
            sealed_cards=[token.sealed_card for token in tokens],
            expires_at=[token.expires_at for token in tokens],
        )
    clock.observe(database_time)
    return [None] * len(tokens)


async def select_token(connection: PlainConnection, token: UUID, *, merchant_id: int) -> StoredToken | None:
    """Return a token with what is sealed in it, or None when there is none or it was swept away.

    A token knows no merchant when it is made. For the one who wants to use it now, `expires_at` is earlier by what that
    merchant's clock was advanced since (behaviour, section 7); it is real time all the same.
    """
    token_id = derive_token_id(token)
    row = await queries.select_token(connection, token_id=token_id, merchant_id=merchant_id, life=TOKEN_LIFE)
    if row is None:
        return None
    sealed_code = row["sealed_code"]
    return StoredToken(
        token=token,
        token_id=token_id,
        merchant_id=row["merchant_id"],
        sealed_card=row["sealed_card"],
        code=SealedCode(token_id, sealed_code, row["code_expires_at"]) if sealed_code is not None else None,
        expires_at=row["expires_at"],
        used_by=row["used_by"],
        account_id=row["account_id"],
    )


def open_code(vault: Vault, token: StoredToken, *, now: datetime) -> Cvv | None:
    """Open the security code of a token. Return None if it has none by now, or its time has passed."""
    if token.code is None or token.code.expires_at <= now:
        return None
    return vault.open_token_code(token.code.sealed, token=token.token)
