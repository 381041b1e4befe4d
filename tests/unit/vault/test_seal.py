"""A sealed value opens in its own row and nowhere else."""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tollhouse.kernel.card import Card, CardNumber, Cvv, Expiry
from tollhouse.kernel.errors import SealBroken
from tollhouse.vault.keys import FileKeyProvider
from tollhouse.vault.seal import Sealed, pack_card, seal, unpack_card, unseal
from tollhouse.vault.vault import Vault

OLD, NEW = secrets.token_bytes(32), secrets.token_bytes(32)
ROOT = secrets.token_bytes(32)
VAULT = Vault(FileKeyProvider({1: OLD}, ROOT))
ROTATED = Vault(FileKeyProvider({1: OLD, 2: NEW}, ROOT))
ACCOUNT = UUID(int=1)
CARD = Card(CardNumber("4024007179366348"), Expiry(12, 2029), "Jane Smith", "90210")

cards = st.builds(
    Card,
    st.text(string.digits, min_size=12, max_size=19).map(CardNumber),
    st.builds(Expiry, st.integers(1, 12), st.integers(2000, 2099)),
    st.none() | st.text(max_size=64),
    st.none() | st.text(max_size=16),
)


@given(cards, st.integers(1, 2**63 - 1), st.uuids())
def test_a_card_comes_out_as_it_went_in(card: Card, merchant_id: int, account_id: UUID) -> None:
    """Any card survives sealing, for a stored card and for a token."""
    sealed = VAULT.seal_card(card, merchant_id=merchant_id, account_id=account_id)
    assert VAULT.open_card(sealed, merchant_id=merchant_id, account_id=account_id) == card
    token = VAULT.seal_token_card(card, token=account_id)
    assert VAULT.open_token_card(token, token=account_id) == card


@given(cards)
def test_a_packed_card_is_read_again(card: Card) -> None:
    """Packing loses nothing."""
    assert unpack_card(pack_card(card)) == card


@given(st.binary(max_size=300), st.text(max_size=40))
def test_anything_is_sealed(clear: bytes, place: str) -> None:
    """Any bytes can be sealed for any place, and are not to be seen in what comes out."""
    sealed = seal(VAULT.keys, clear, bound_to=place)
    assert unseal(VAULT.keys, sealed, bound_to=place) == clear
    assert len(clear) < 8 or clear not in sealed.content
    assert seal(VAULT.keys, clear, bound_to=place).content != sealed.content


def sealed_card() -> Sealed:
    """Return the card, sealed for its account."""
    return VAULT.seal_card(CARD, merchant_id=1, account_id=ACCOUNT)


@pytest.mark.parametrize("place", [(2, ACCOUNT), (1, UUID(int=2)), (11, ACCOUNT)])
def test_a_card_opens_in_its_row_only(place: tuple[int, UUID]) -> None:
    """Another merchant's row, or another account's, does not open it."""
    with pytest.raises(SealBroken):
        VAULT.open_card(sealed_card(), merchant_id=place[0], account_id=place[1])


def test_kinds_are_kept_apart() -> None:
    """A token's card does not open as an account's, nor a secret as a card, whatever their ids are."""
    token = VAULT.seal_token_card(CARD, token=ACCOUNT)
    with pytest.raises(SealBroken):
        VAULT.open_card(Sealed(token, 1), merchant_id=1, account_id=ACCOUNT)
    with pytest.raises(SealBroken):
        VAULT.open_token_card(sealed_card().content, token=ACCOUNT)
    with pytest.raises(SealBroken):
        VAULT.open_token_card(VAULT.seal_token_code(Cvv("937"), token=ACCOUNT), token=ACCOUNT)
    with pytest.raises(SealBroken):
        VAULT.open_token_code(token, token=ACCOUNT)
    secret = VAULT.seal_secret("text", bound_to=f"account|1|{ACCOUNT}")
    with pytest.raises(SealBroken):
        VAULT.open_card(Sealed(secret[4:], 1), merchant_id=1, account_id=ACCOUNT)


@given(st.uuids(), st.uuids())
def test_a_token_opens_what_is_its_own(token: UUID, other: UUID) -> None:
    """Card and code of a token open with that token and that root; another token or another root opens neither."""
    card, code = VAULT.seal_token_card(CARD, token=token), VAULT.seal_token_code(Cvv("937"), token=token)
    assert VAULT.open_token_code(code, token=token).reveal() == "937"
    others = [(Vault(FileKeyProvider({1: OLD}, NEW)), token)] + ([(VAULT, other)] if other != token else [])
    for vault, wrong in others:
        with pytest.raises(SealBroken):
            vault.open_token_card(card, token=wrong)
        with pytest.raises(SealBroken):
            vault.open_token_code(code, token=wrong)


def test_a_version_is_part_of_the_place() -> None:
    """A row whose key version was changed does not open, neither to a version that exists nor to one that does not."""
    sealed = ROTATED.seal_card(CARD, merchant_id=1, account_id=ACCOUNT)
    assert sealed.key_version == 2
    for version in (1, 3, 0):
        with pytest.raises(SealBroken):
            ROTATED.open_card(replace(sealed, key_version=version), merchant_id=1, account_id=ACCOUNT)


def test_old_versions_still_open() -> None:
    """After a rotation the newest key seals and all open; who lacks a key cannot."""
    old = sealed_card()
    assert ROTATED.open_card(old, merchant_id=1, account_id=ACCOUNT) == CARD
    new = ROTATED.seal_card(CARD, merchant_id=1, account_id=ACCOUNT)
    with pytest.raises(SealBroken):
        VAULT.open_card(new, merchant_id=1, account_id=ACCOUNT)


def test_any_flipped_bit_breaks_the_seal() -> None:
    """A change of any single bit of any byte is found out."""
    sealed = sealed_card()
    for at in range(len(sealed.content)):
        for bit in range(8):
            content = bytearray(sealed.content)
            content[at] ^= 1 << bit
            with pytest.raises(SealBroken):
                VAULT.open_card(Sealed(bytes(content), 1), merchant_id=1, account_id=ACCOUNT)


def test_any_shortened_value_breaks_the_seal() -> None:
    """A value of any other length is found out, the empty one too."""
    content = sealed_card().content
    for changed in (*(content[:length] for length in range(len(content))), content + b"\0"):
        with pytest.raises(SealBroken):
            VAULT.open_card(Sealed(changed, 1), merchant_id=1, account_id=ACCOUNT)


def test_parts_of_two_values_do_not_fit() -> None:
    """The wrapped key of one value does not open another's content, also in the same place."""
    one, other = sealed_card().content, sealed_card().content
    for cut in (5, 13, 61, 73, len(one) - 16):
        with pytest.raises(SealBroken):
            VAULT.open_card(Sealed(one[:cut] + other[cut:], 1), merchant_id=1, account_id=ACCOUNT)


@given(st.text(max_size=100), st.text(max_size=20))
def test_secret_opens_for_its_row_only(text: str, place: str) -> None:
    """A secret opens for its row, and for no other."""
    sealed = VAULT.seal_secret(text, bound_to=place)
    assert VAULT.open_secret(sealed, bound_to=place) == text
    for changed, elsewhere in ((sealed, place + "x"), (b"\0\0\0\2" + sealed[4:], place), (b"", place), (b"\0", place)):
        with pytest.raises(SealBroken):
            VAULT.open_secret(changed, bound_to=elsewhere)


def test_broken_seal_error_has_no_content() -> None:
    """The error contains nothing of the sealed value, nor of the key."""
    with pytest.raises(SealBroken) as broken:
        VAULT.open_card(sealed_card(), merchant_id=2, account_id=ACCOUNT)
    assert "4024" not in str(broken.value)
    assert OLD.hex() not in repr(VAULT.keys) + repr(VAULT)


def test_fingerprints_belong_to_a_merchant() -> None:
    """Equal numbers of one merchant are told, whatever else is on the card; two merchants' are not comparable."""
    fingerprint = VAULT.fingerprint(CARD.number, merchant_id=1)
    assert VAULT.fingerprint(CardNumber("4024007179366348"), merchant_id=1) == fingerprint
    assert ROTATED.fingerprint(CARD.number, merchant_id=1) == fingerprint
    assert VAULT.fingerprint(CARD.number, merchant_id=2) != fingerprint
    assert VAULT.fingerprint(CardNumber("4111111111111111"), merchant_id=1) != fingerprint
    assert Vault(FileKeyProvider({1: OLD}, NEW)).fingerprint(CARD.number, merchant_id=1) != fingerprint


@given(st.integers(1, 10**6), st.integers(0, 10**6))
def test_fingerprints_of_digits_that_run_together(merchant_id: int, tail: int) -> None:
    """Merchant and number cannot be cut at another place."""
    number = f"4024{tail:012d}"
    moved = VAULT.fingerprint(CardNumber(number[1:]), merchant_id=int(f"{merchant_id}{number[0]}"))
    assert VAULT.fingerprint(CardNumber(number), merchant_id=merchant_id) != moved


def test_accounts_are_derived() -> None:
    """An account's id is the same for the same merchant, consumer and card, and another one for any other."""

    def derive(merchant_id: int = 1, consumer_id: str = "c1", fingerprint: bytes = b"f") -> UUID:
        return VAULT.account_id(merchant_id=merchant_id, consumer_id=consumer_id, fingerprint=fingerprint)

    others = [derive(merchant_id=2), derive(consumer_id="c2"), derive(fingerprint=b"g")]
    assert derive() == derive()
    assert len({derive(), *others}) == 4
    assert derive().variant == uuid4().variant


def test_purposes_have_keys_of_their_own() -> None:
    """The keys of fingerprints, ids and digests tell nothing of each other, and none is the root."""
    keys = {VAULT.fingerprint_key, VAULT.identity_key, VAULT.digest_key, ROOT, OLD}
    assert len(keys) == 5
    assert all(len(key) == 32 for key in keys)


@pytest.mark.parametrize("act", [lambda: VAULT.digest(b"x"), lambda: ROTATED.digest(b"x")])
def test_digests_outlive_rotation(act: Callable[[], bytes]) -> None:
    """Digests and fingerprints depend on the root only."""
    assert act() == VAULT.digest(b"x")
