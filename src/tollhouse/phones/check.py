"""Check a code: five attempts in all, also concurrent ones, and one success."""

from __future__ import annotations

from dataclasses import dataclass
from hmac import compare_digest

from tollhouse.phones.dependencies import PhoneDependencies
from tollhouse.phones.model import Phone, digest_code, digest_phone
from tollhouse.phones.store import count_attempt, delete_code, lock_code


@dataclass(frozen=True, slots=True)
class CodeCheck:
    """Whether the code was right, and the number of attempts left."""

    is_right: bool
    tries_left: int


async def check_code(dependencies: PhoneDependencies, *, merchant_id: int, phone: Phone, code: str) -> CodeCheck:
    """Check a code. A code that was not sent, has expired, was used or was attempted too often is wrong."""
    phone_digest = digest_phone(dependencies.key, merchant_id=merchant_id, phone=phone)
    code_digest = digest_code(dependencies.key, merchant_id=merchant_id, phone=phone, code=code)
    async with dependencies.database.transaction() as connection:
        stored = await lock_code(connection, merchant_id=merchant_id, phone_digest=phone_digest)
        if stored is None:
            return CodeCheck(is_right=False, tries_left=0)
        if compare_digest(stored.code_digest, code_digest):
            await delete_code(connection, merchant_id=merchant_id, phone_digest=phone_digest, code_digest=code_digest)
            return CodeCheck(is_right=True, tries_left=0)
        await count_attempt(connection, merchant_id=merchant_id, phone_digest=phone_digest)
    return CodeCheck(is_right=False, tries_left=stored.tries_left - 1)
