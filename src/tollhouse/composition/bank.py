"""The simulator of stage, the connection to it, and the secrets that the gateway shares with it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import SecretStr

from tollhouse.composition.app import ConfigurationError
from tollhouse.composition.settings import Settings
from tollhouse.simulator.host import Simulator
from tollhouse.storage.database import Database
from tollhouse.transport.http import HttpTransport


def draw_secret(settings: Settings) -> Settings:
    """Return settings with a new secret of the simulator, for a process that runs both simulator and gateway."""
    if settings.simulator_secret is not None:
        return settings
    return settings.model_copy(update={"simulator_secret": SecretStr(secrets.token_urlsafe(32))})


def require_secret(settings: Settings) -> str:
    """Return the secret that the gateway and the simulator share. Raises ConfigurationError."""
    if settings.simulator_secret is None:
        raise ConfigurationError(
            "Set TOLLHOUSE_SIMULATOR_SECRET, the same for `simulate`, `serve` and `work`: 16 or more random characters."
        )
    return settings.simulator_secret.get_secret_value()


def require_simulator(settings: Settings) -> None:
    """Raise ConfigurationError in stage if the simulator's URL or secret is not set."""
    if settings.is_live:
        return
    if settings.simulator_url is None:
        raise ConfigurationError("Set TOLLHOUSE_SIMULATOR_URL to the URL of `tollhouse simulate`.")
    require_secret(settings)


def require_directory(settings: Settings) -> None:
    """Raise ConfigurationError in live if the Directory Server could not authenticate."""
    if settings.is_live and settings.directory_key is None and not settings.directory_certificates:
        raise ConfigurationError(
            "Set TOLLHOUSE_DIRECTORY_SECRET or TOLLHOUSE_DIRECTORY_CERTIFICATES to receive results of challenges."
        )


def open_way(settings: Settings) -> HttpTransport:
    """Return a transport to the simulator with its secret; in live, without one."""
    authorization = None if settings.is_live else f"Bearer {require_secret(settings)}"
    return HttpTransport(settings.simulator_url or "", authorization=authorization)


@asynccontextmanager
async def open_simulator(settings: Settings, dsn: str, *, base_url: str) -> AsyncIterator[Simulator]:
    """Start the simulator on its database, and close it at the end."""
    database = await Database.connect(dsn, schema="simulator", max_size=settings.database_connections)
    simulator = Simulator(database, base_url=base_url, directory_secret=settings.directory_key)
    await simulator.start()
    try:
        yield simulator
    finally:
        await simulator.close()
        await database.close()
