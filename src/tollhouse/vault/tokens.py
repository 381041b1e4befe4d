"""Tokens: a card for one payment within 15 minutes.

The token is the secret: card and security code are sealed under keys derived from it and from the key provider, and the
database stores only its hash. Creating a token is one durable write, batched with other tokens. Reading a token changes
nothing. The begin step of the payment consumes it, so exactly one of two payments with the same token wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from tollhouse.kernel.card import Card, Cvv
from tollhouse.kernel.clock import DatabaseClock, floor_second
from tollhouse.storage.coalesce import Coalescer
from tollhouse.storage.database import PlainConnection
from tollhouse.vault.seal import derive_token_id
from tollhouse.vault.security_codes import SealedCode, insert_security_codes, queries
from tollhouse.vault.vault import Vault

TOKEN_LIFE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token row, identified by the token's hash."""

    token_id: UUID
    merchant_id: int | None
    #: None for a token of a stored card, `account_id`.
    sealed_card: bytes | None
    code: SealedCode | None
    expires_at: datetime
    account_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class NewToken:
    """A new token for the client that requested it."""

    token: UUID
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A stored token, with the token itself as the client sent it.

    `sealed_card` is None after use or sweep, and for a token of a stored card.
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
class TokenDependencies:
    """The dependencies of creating tokens."""

    vault: Vault
    queue: Coalescer[TokenRow, None]
    clock: DatabaseClock


async def tokenize(deps: TokenDependencies, card: Card, code: Cvv | None, *, merchant_id: int | None) -> NewToken:
    """Seal a card and its security code, store them as a token and return the token after the commit.

    Raises Unavailable if the token could not be stored; it then does not exist.
    """
    token = uuid4()
    return await _store(deps, token, code, merchant_id=merchant_id, card=deps.vault.seal_token_card(card, token=token))


async def tokenize_account(deps: TokenDependencies, code: Cvv, *, merchant_id: int, account_id: UUID) -> NewToken:
    """Create a token for a stored card with a new security code, for the card's merchant only.

    The card stays in the vault. Raises Unavailable if the token could not be stored; it then does not exist.
    """
    return await _store(deps, uuid4(), code, merchant_id=merchant_id, account_id=account_id)


async def _store(
    deps: TokenDependencies,
    token: UUID,
    code: Cvv | None,
    *,
    merchant_id: int | None,
    card: bytes | None = None,
    account_id: UUID | None = None,
) -> NewToken:
    token_id, expires_at = derive_token_id(token), deps.clock.now() + TOKEN_LIFE
    sealed_code = None
    if code is not None:
        sealed_code = SealedCode(token_id, deps.vault.seal_token_code(code, token=token), expires_at)
    await deps.queue.submit(TokenRow(token_id, merchant_id, card, sealed_code, expires_at, account_id))
    return NewToken(token, floor_second(expires_at))


async def flush_tokens(clock: DatabaseClock, connection: PlainConnection, tokens: Sequence[TokenRow]) -> list[None]:
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
    """Return a token with its sealed contents, or None if it does not exist or was swept.

    A token belongs to no merchant when it is created. For the merchant that uses it, `expires_at` is earlier by the
    advance of that merchant's clock since then; the result is real time.
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
    """Open the security code of a token. Return None if it has no code any more, or has expired."""
    if token.code is None or token.code.expires_at <= now:
        return None
    return vault.open_token_code(token.code.sealed, token=token.token)
