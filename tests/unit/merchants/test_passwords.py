"""Passwords: hashed with argon2id, checked a few at a time."""

from __future__ import annotations

import asyncio

import pytest
from argon2.exceptions import VerifyMismatchError

from tollhouse.kernel.errors import QueueFull
from tollhouse.merchants.passwords import (
    HASHER,
    LONGEST_PASSWORD,
    MOST_WAITING,
    PasswordGate,
    WrongPassword,
    hash_password,
    invent_hash,
    verify_password,
)


def test_a_hash_is_argon2id_with_a_salt() -> None:
    """Two hashes of one password differ, and name the function and its cost."""
    first, second = hash_password("secret"), hash_password("secret")
    assert first != second
    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_only_the_password_fits() -> None:
    """The right password is taken, another one is not, and neither is a hash that is none."""
    verify_password(hash_password("secret"), "secret")
    with pytest.raises(WrongPassword):
        verify_password(hash_password("secret"), "Secret")


async def test_nobody_has_no_password() -> None:
    """For nobody every password is wrong, after the same work as for somebody."""
    with pytest.raises(WrongPassword):
        await PasswordGate().verify(None, "secret")


def test_an_invented_hash_is_as_dear_as_a_real_one() -> None:
    """A hash that nobody's password made is well-formed, has today's parameters, and is computed to the end."""
    invented = invent_hash()
    assert not HASHER.check_needs_rehash(invented)
    with pytest.raises(VerifyMismatchError):
        HASHER.verify(invented, "secret")
    assert len(invented) == len(hash_password("secret"))
    assert invented != invent_hash()


async def test_a_password_is_not_cut() -> None:
    """A password that is too long is wrong, also where its beginning is right."""
    password = "x" * LONGEST_PASSWORD
    gate, hashed = PasswordGate(), hash_password(password)
    await gate.verify(hashed, password)
    with pytest.raises(WrongPassword):
        await gate.verify(hashed, password + "x")


async def test_a_flood_is_turned_away() -> None:
    """Beyond a bound of waiting checks the next is refused at once, and later ones are taken again."""
    gate, hashed = PasswordGate(), hash_password("secret")
    results = await asyncio.gather(
        *(gate.verify(hashed, "secret") for _ in range(MOST_WAITING + 3)), return_exceptions=True
    )
    assert sum(isinstance(result, QueueFull) for result in results) == 3
    await gate.verify(hashed, "secret")
