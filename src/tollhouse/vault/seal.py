"""Sealing: AES-256-GCM with a key of its own for each card, wrapped by a key-encryption key.

    sealed = format (1 byte) | wrapped key (60 bytes) | nonce (12 bytes) | ciphertext and tag

The associated data of both layers names the row and the key version of the value, so that a sealed value does not open
in another row, merchant or version. A new key for each value rules out repeated nonces.
"""

from __future__ import annotations

import hashlib
import secrets
from functools import lru_cache
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from msgspec import Struct

from tollhouse.kernel.card import Card, CardNumber, Expiry
from tollhouse.kernel.errors import SealBroken
from tollhouse.vault.keys import KEY_BYTES, NONCE_BYTES, KeyProvider

FORMAT = b"\x01"
WRAPPED_KEY_BYTES = NONCE_BYTES + KEY_BYTES + 16


class Sealed(Struct, frozen=True):
    """A sealed value and the version of the key that wraps its key."""

    content: bytes
    key_version: int


def seal(keys: KeyProvider, clear: bytes, *, bound_to: str) -> Sealed:
    """Seal a value for the row that `bound_to` names."""
    version = keys.current_version
    associated = _associate(bound_to, version)
    drawn = secrets.token_bytes(KEY_BYTES + NONCE_BYTES)
    key, nonce = drawn[:KEY_BYTES], drawn[KEY_BYTES:]
    ciphertext = AESGCM(key).encrypt(nonce, clear, associated)
    return Sealed(FORMAT + keys.wrap(key, bound_to=associated) + nonce + ciphertext, version)


def unseal(keys: KeyProvider, sealed: Sealed, *, bound_to: str) -> bytes:
    """Open a sealed value. Raises SealBroken if it was changed, or sealed for another row."""
    associated = _associate(bound_to, sealed.key_version)
    content = sealed.content
    if content[:1] != FORMAT:
        raise SealBroken
    wrapped, rest = content[1 : 1 + WRAPPED_KEY_BYTES], content[1 + WRAPPED_KEY_BYTES :]
    key = keys.unwrap(wrapped, version=sealed.key_version, bound_to=associated)
    try:
        return AESGCM(key).decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], associated)
    except (InvalidTag, ValueError) as error:
        raise SealBroken from error


def _associate(bound_to: str, key_version: int) -> bytes:
    return f"v1|{bound_to}|{key_version}".encode()


def seal_under(key: bytes, clear: bytes, *, bound_to: str) -> bytes:
    """Seal a value under a key that is in no database. Return a nonce, then the ciphertext with its tag."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, clear, bound_to.encode())


def unseal_under(key: bytes, sealed: bytes, *, bound_to: str) -> bytes:
    """Open a value from `seal_under`. Raises SealBroken for another key, another row or a changed value."""
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound_to.encode())
    except (InvalidTag, ValueError) as error:
        raise SealBroken from error


def hash_keyed(key: bytes, content: bytes) -> bytes:
    """Return the HMAC-SHA-256 of a content."""
    keyed = _prepare_hash(key).copy()
    keyed.update(content)
    return keyed.finalize()


@lru_cache(maxsize=16)
def _prepare_hash(key: bytes) -> HMAC:
    """Set the hash of a key up: that costs more than to hash a short content."""
    return HMAC(key, SHA256())


def derive_token_key(key: bytes, *, token: UUID, part: str) -> bytes:
    """Derive the key of one part of a token, card or code, from the token and a key of the key provider."""
    return hash_keyed(key, f"{part}|".encode() + token.bytes)


def derive_token_id(token: UUID) -> UUID:
    """Return the ID of a token in the database: the first 128 bits of its SHA-256.

    A plain hash is sufficient: a token has 122 random bits and cannot be found by guessing (a salt or a slow hash
    protects guessable secrets).
    """
    return UUID(bytes=hashlib.sha256(token.bytes).digest()[:16])


def pack_card(card: Card) -> bytes:
    """Serialize a card for sealing."""
    fields = [card.number.reveal(), card.expiry.month, card.expiry.year, card.holder, card.zip]
    return msgspec.json.encode(fields)


def unpack_card(clear: bytes) -> Card:
    """Deserialize a card from `pack_card`."""
    number, month, year, holder, zip_code = msgspec.json.decode(clear)
    return Card(CardNumber(number), Expiry(month, year), holder, zip_code)


def fingerprint_card(key: bytes, *, merchant_id: int, number: CardNumber) -> bytes:
    """Return a keyed hash of a card number for one merchant, so that equal cards are recognized.

    HMAC-SHA-256 of the whole number (PCI DSS 4.0.1, 3.5.1.1). It includes the merchant, so that merchants' cards stay
    separate.
    """
    return hash_keyed(key, f"{merchant_id}|{number.reveal()}".encode())


def derive_account_id(key: bytes, *, merchant_id: int, consumer_id: str, fingerprint: bytes) -> UUID:
    """Derive the ID of a consumer's card, the same for the same card, before a row exists."""
    digest = hash_keyed(key, f"{merchant_id}|{consumer_id}|".encode() + fingerprint)
    return UUID(bytes=digest[:16], version=5)
