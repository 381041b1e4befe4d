"""Letters that were waiting when letters about subscriptions came."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from importlib.resources import as_file, files
from pathlib import Path
from uuid import uuid4

import asyncpg
from tests.support.letters import facts

from tollhouse.notices.store import claim_notices
from tollhouse.storage.database import Database
from tollhouse.storage.migrate import migrate


async def test_letters_that_wait_are_carried_after_the_migration(empty_dsn: str, tmp_path: Path) -> None:
    """They keep what they say, under the name that the mail server may have seen, and each is one letter still."""
    with as_file(files("tollhouse.storage").joinpath("migrations")) as directory:
        for path in directory.glob("*.sql"):
            if path.name < "0034":
                shutil.copy(path, tmp_path)
        await migrate(empty_dsn, schema="gateway", directory=tmp_path)
        connection = await asyncpg.connect(empty_dsn)
        for number in (1, 2):
            await connection.execute(
                "insert into gateway.notice (merchant_id, transaction_id, recipient, language, facts) "
                "values (1, $1, 'jane@shop.example', 'en', $2)",
                number,
                json.dumps(facts(transaction_id=str(number)).to_json()),
            )
        await connection.close()
        await migrate(empty_dsn, schema="gateway", directory=directory)
    database = await Database.connect(empty_dsn, schema="gateway")
    async with database.transaction() as session:
        claimed = await claim_notices(session, lease=uuid4(), span=timedelta(minutes=1), most=10)
    await database.close()
    assert {notice.read().facts.transaction_id for notice in claimed} == {"1", "2"}
    assert len({notice.notice_id for notice in claimed}) == 2
