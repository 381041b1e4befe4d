"""Import disputes of all merchants."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from tollhouse.kernel.errors import DatabaseUnavailable, Unavailable
from tollhouse.payments.dependencies import DisputeDependencies
from tollhouse.payments.disputes.import_disputes import import_disputes

log = structlog.get_logger()


async def import_all_disputes(deps: DisputeDependencies, *, is_stopping: Callable[[], bool] = lambda: False) -> int:
    """Import due disputes, and return the number of chargebacks. An unavailable acquirer is queried next time."""
    try:
        return await import_disputes(deps, is_stopping=is_stopping)
    except DatabaseUnavailable:
        raise
    except Unavailable as error:
        log.warning("disputes.query_failed", cause=str(error))
        return 0
