"""The Directory's own way to the outside, as the processes `serve` and `work` build it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiohttp import web
from pydantic import SecretStr
from tests.support.issuing import number_of

from tollhouse.composition.processes import open_gateway_alone
from tollhouse.composition.serving import Shutdown
from tollhouse.composition.settings import Settings
from tollhouse.kernel.card import CardNumber
from tollhouse.kernel.clock import boot_seconds
from tollhouse.transport.http import MAX_CONNECTIONS
from tollhouse.transport.model import NoResponse, RequestNotSent

SECRET = "the secret of the simulator"


async def test_an_acquirer_that_hangs_leaves_the_directory_alone(database_dsn: str, tmp_path: Path) -> None:
    """While calls to an acquirer take all its connections, the Directory is asked at once: 3-D Secure stays on."""
    hanging, asked, go_on = asyncio.Semaphore(0), asyncio.Event(), asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        hanging.release()
        await go_on.wait()
        return web.Response(text="{}")

    async def list_ranges(_: web.Request) -> web.Response:
        asked.set()
        return web.Response(status=503)

    app = web.Application()
    app.router.add_post("/directory/ranges", list_ranges)
    app.router.add_post("/acquirer/{verb}", hang)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    settings = Settings(
        database_url=database_dsn,
        data_dir=tmp_path,
        simulator_url=f"http://127.0.0.1:{port}",
        simulator_secret=SecretStr(SECRET),
    )
    async with open_gateway_alone(settings, Shutdown()) as gateway:
        deadline = boot_seconds() + 60
        calls = [
            asyncio.create_task(
                gateway.transport.post("/acquirer/authorize", b"{}", timeout_seconds=60, send_before=deadline)
            )
            for _ in range(MAX_CONNECTIONS + 5)
        ]
        async with asyncio.timeout(30):
            for _ in range(MAX_CONNECTIONS):
                await hanging.acquire()
            await gateway.parts.directory.find_range(CardNumber(number_of("visa")))
        assert asked.is_set()
        assert not any(call.done() for call in calls)
        go_on.set()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert not [answer for answer in answers if isinstance(answer, NoResponse | RequestNotSent)]
    await runner.cleanup()
