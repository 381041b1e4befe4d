"""Checking a code: five tries in all, however many come at once, and right only once."""

from __future__ import annotations

from dataclasses import dataclass
from hmac import compare_digest
from typing import TYPE_CHECKING

from tollhouse.phones.model import Phone, digest_code, digest_phone
from tollhouse.phones.store import delete_code, lock_code, update_tries

if TYPE_CHECKING:
    from tollhouse.phones.desk import PhoneDependencies


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the code was right, and how often another one may be tried."""

    is_right: bool
    tries_left: int


async def check_code(desk: PhoneDependencies, *, merchant_id: int, phone: Phone, code: str) -> Verdict:
    """Check a code. One that was not sent, ran out, was used or was tried too often is wrong like any other."""
    phone_digest = digest_phone(desk.key, merchant_id=merchant_id, phone=phone)
    code_digest = digest_code(desk.key, merchant_id=merchant_id, phone=phone, code=code)
    async with desk.database.transaction() as connection:
        stored = await lock_code(connection, merchant_id=merchant_id, phone_digest=phone_digest)
        if stored is None:
            return Verdict(is_right=False, tries_left=0)
        if compare_digest(stored.code_digest, code_digest):
            await delete_code(connection, merchant_id=merchant_id, phone_digest=phone_digest, code_digest=code_digest)
            return Verdict(is_right=True, tries_left=0)
        await update_tries(connection, merchant_id=merchant_id, phone_digest=phone_digest)
    return Verdict(is_right=False, tries_left=stored.tries_left - 1)
