"""The vault: the only module that seals and opens cards."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from tollhouse.kernel.card import Card, CardNumber, Cvv
from tollhouse.vault.keys import KeyProvider
from tollhouse.vault.seal import (
    Sealed,
    derive_account_id,
    derive_token_key,
    fingerprint_card,
    hash_keyed,
    pack_card,
    seal,
    seal_under,
    unpack_card,
    unseal,
    unseal_under,
)


@dataclass(frozen=True, slots=True, repr=False)
class Vault:
    """Operations with the vault's keys. Holds no connection and no card."""

    keys: KeyProvider
    fingerprint_key: bytes = field(init=False)
    identity_key: bytes = field(init=False)
    digest_key: bytes = field(init=False)
    token_key: bytes = field(init=False)

    def __post_init__(self) -> None:
        for purpose in ("fingerprint", "identity", "digest", "token"):
            object.__setattr__(self, f"{purpose}_key", self.keys.derive(purpose))

    def seal_card(self, card: Card, *, merchant_id: int, account_id: UUID) -> Sealed:
        """Seal a card for a merchant's stored card."""
        return seal(self.keys, pack_card(card), bound_to=f"account|{merchant_id}|{account_id}")

    def open_card(self, sealed: Sealed, *, merchant_id: int, account_id: UUID) -> Card:
        """Open a merchant's stored card. Raises SealBroken."""
        return unpack_card(unseal(self.keys, sealed, bound_to=f"account|{merchant_id}|{account_id}"))

    def seal_token_card(self, card: Card, *, token: UUID) -> bytes:
        """Seal a card for a token, which belongs to no merchant yet. Only the token opens it."""
        return self._seal_for_token("card", pack_card(card), token)

    def open_token_card(self, sealed: bytes, *, token: UUID) -> Card:
        """Open the card of a token. Raises SealBroken."""
        return unpack_card(self._open_of_token("card", sealed, token))

    def seal_token_code(self, code: Cvv, *, token: UUID) -> bytes:
        """Seal a security code for a token. Only the token opens it."""
        return self._seal_for_token("code", code.reveal().encode(), token)

    def open_token_code(self, sealed: bytes, *, token: UUID) -> Cvv:
        """Open the security code of a token. Raises SealBroken."""
        return Cvv(self._open_of_token("code", sealed, token).decode())

    def _seal_for_token(self, part: str, clear: bytes, token: UUID) -> bytes:
        return seal_under(derive_token_key(self.token_key, token=token, part=part), clear, bound_to=f"token {part}")

    def _open_of_token(self, part: str, sealed: bytes, token: UUID) -> bytes:
        return unseal_under(derive_token_key(self.token_key, token=token, part=part), sealed, bound_to=f"token {part}")

    def seal_secret(self, text: str, *, bound_to: str) -> bytes:
        """Seal a secret that must be readable again, such as an IPN secret. The key version is the first four bytes."""
        sealed = seal(self.keys, text.encode(), bound_to=f"secret|{bound_to}")
        return sealed.key_version.to_bytes(4, "big") + sealed.content

    def open_secret(self, sealed: bytes, *, bound_to: str) -> str:
        """Open a value from `seal_secret`. Raises SealBroken."""
        return unseal(
            self.keys, Sealed(sealed[4:], int.from_bytes(sealed[:4], "big")), bound_to=f"secret|{bound_to}"
        ).decode()

    def fingerprint(self, number: CardNumber, *, merchant_id: int) -> bytes:
        """Return the hash by which equal cards of one merchant are recognized."""
        return fingerprint_card(self.fingerprint_key, merchant_id=merchant_id, number=number)

    def account_id(self, *, merchant_id: int, consumer_id: str, fingerprint: bytes) -> UUID:
        """Derive the ID of a consumer's stored card."""
        return derive_account_id(
            self.identity_key, merchant_id=merchant_id, consumer_id=consumer_id, fingerprint=fingerprint
        )

    def digest(self, content: bytes) -> bytes:
        """Return a keyed hash, so that equal requests are recognized without storing their content."""
        return hash_keyed(self.digest_key, content)
