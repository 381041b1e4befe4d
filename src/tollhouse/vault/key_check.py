"""Check at startup that the configured keys belong to this database."""

from __future__ import annotations

import hashlib

from tollhouse.kernel.errors import SealBroken
from tollhouse.storage.database import Database
from tollhouse.storage.queries import load_queries
from tollhouse.vault.vault import Vault

PURPOSE = "key check"

queries = load_queries("tollhouse.vault")


async def check_keys(database: Database, vault: Vault) -> None:
    """Check that the keys are those with which the database was first used. Raises SealBroken, DatabaseUnavailable.

    Opening the stored value checks the sealing keys. The value contains a digest of a derived key, which checks the
    root key: with another root key, stored cards and consumers could not be found.
    """
    digest = hashlib.sha256(vault.keys.derive(PURPOSE)).hexdigest()
    async with database.acquire() as connection:
        await queries.insert_key_check(connection, sealed=vault.seal_secret(digest, bound_to=PURPOSE))
        sealed = await queries.select_key_check(connection)
    if vault.open_secret(sealed, bound_to=PURPOSE) != digest:
        raise SealBroken
