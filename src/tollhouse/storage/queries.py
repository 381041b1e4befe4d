"""SQL stays SQL: named, described statements in the `queries.sql` beside the module that owns them."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import Any

import aiosql


def load_queries(package: str, name: str = "queries.sql") -> Any:
    """Load a package's statements. Each becomes a coroutine function `name(connection, **parameters)`."""
    with as_file(files(package).joinpath(name)) as path:
        return aiosql.from_path(path, "asyncpg", mandatory_parameters=False)
