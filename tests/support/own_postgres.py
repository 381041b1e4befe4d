"""Own an embedded PostgreSQL until killed: `own_postgres.py DATA_DIR [durable]` prints the DSN when it is ready."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tollhouse.storage.embedded import EmbeddedPostgres


async def main(data_directory: str, *options: str) -> None:
    """Run the server, say where it is, and wait for it to end."""
    server = EmbeddedPostgres(Path(data_directory), durable="durable" in options)
    sys.stdout.write(f"{await server.start()}\n")
    sys.stdout.flush()
    await server.wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
