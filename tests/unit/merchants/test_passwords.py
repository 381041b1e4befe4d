"""Passwords: hashed with argon2id, checked a few at a time."""

from __future__ import annotations

import asyncio

import pytest
from argon2.exceptions import VerifyMismatchError

from tollhouse.kernel.errors import QueueFull
from tollhouse.merchants.passwords import (
    AT_A_TIME,
    HASHER,
    MAX_PASSWORD_LENGTH,
    MAX_WAITING,
    MAX_WAITING_IN_QUEUE,
    PasswordVerifier,
    WrongPassword,
    build_decoy_hash,
    hash_password,
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
        await PasswordVerifier().verify(None, "secret")


def test_an_invented_hash_is_as_dear_as_a_real_one() -> None:
    """A hash that nobody's password made is well-formed, has today's parameters, and is computed to the end."""
    invented = build_decoy_hash()
    assert not HASHER.check_needs_rehash(invented)
    with pytest.raises(VerifyMismatchError):
        HASHER.verify(invented, "secret")
    assert len(invented) == len(hash_password("secret"))
    assert invented != build_decoy_hash()


async def test_a_password_is_not_cut() -> None:
    """A password that is too long is wrong, also where its beginning is right."""
    password = "x" * MAX_PASSWORD_LENGTH
    verifier, hashed = PasswordVerifier(), hash_password(password)
    await verifier.verify(hashed, password)
    with pytest.raises(WrongPassword):
        await verifier.verify(hashed, password + "x")


@pytest.mark.slow
async def test_a_flood_is_turned_away() -> None:
    """Beyond a bound of waiting checks of one queue the next is refused at once, and later ones are taken again."""
    verifier, hashed = PasswordVerifier(), hash_password("secret")
    results = await asyncio.gather(
        *(verifier.verify(hashed, "secret") for _ in range(MAX_WAITING_IN_QUEUE + 3)), return_exceptions=True
    )
    assert sum(isinstance(result, QueueFull) for result in results) == 3
    await verifier.verify(hashed, "secret")


@pytest.mark.slow
async def test_queues_take_turns() -> None:
    """A check in a short queue runs after the current check, not after a long queue."""
    verifier, hashed, served = PasswordVerifier(), hash_password("secret"), []

    async def check(queue: str) -> None:
        await verifier.verify(hashed, "secret", queue=queue)
        served.append(queue)

    flood = [asyncio.create_task(check("flood")) for _ in range(40)]
    await asyncio.sleep(0)
    await check("honest")
    assert served.index("honest") <= AT_A_TIME + 1
    await asyncio.gather(*flood)


async def test_all_queues_together_are_bounded() -> None:
    """The checks of all sources together are bounded, and nothing is kept of them afterwards."""
    verifier, hashed = PasswordVerifier(), hash_password("secret")
    waiting = [asyncio.create_task(verifier.verify(hashed, "secret", queue=str(n))) for n in range(MAX_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(QueueFull):
        await verifier.verify(hashed, "secret", queue="one more")
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await verifier.verify(hashed, "secret", queue="one more")
