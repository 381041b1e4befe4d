"""The limits that no schema of the gateway moves."""

from __future__ import annotations

import pytest
from bench.fixed_limits import FIRST_EDITION, LEAN, FixedLimit, open_limit, run_limit


@pytest.mark.slow
@pytest.mark.parametrize("limit", [LEAN, FIRST_EDITION], ids=lambda limit: limit.name)
async def test_a_fixed_limit_runs_on_tables_of_its_own(limit: FixedLimit) -> None:
    """Pgbench writes payments into tables that the limit's own file makes, and none fails."""
    async with open_limit(limit) as (server, process):
        found = await run_limit(limit, server, clients=2, seconds=1, run=1)
    assert process is not None
    assert found["rate"] > 0
    assert found["errors"] == 0
