"""Report results of challenges to the 3DS Server.

Post the RReq until an RRes acknowledges it, for some minutes at most.

This is the simulator's only outgoing connection. A restart resumes results without acknowledgment.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from uuid import UUID

import aiohttp
import structlog

from tollhouse.simulator.model import SimulatedAuthentication
from tollhouse.simulator.store import queries
from tollhouse.simulator.tasks import KeyedTasks
from tollhouse.simulator.threeds.emv_fields import EmvProtocolError
from tollhouse.simulator.threeds.emv_messages import build_rreq, check_rres
from tollhouse.storage.database import Database

#: Pauses before each attempt: five minutes in all, longer with timeouts.
INTERVALS_SECONDS = (0, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 60, 120)
TIMEOUT_SECONDS = 10.0
MAX_ANSWER_BYTES = 64 * 1024

log = structlog.get_logger()


class ResultRefused(Exception):
    """The 3DS Server did not respond with an RRes."""


class Reporter:
    """A reporter of RReqs, with one task for each authentication.

    `secret` identifies the Directory Server to the 3DS Server.
    """

    def __init__(self, database: Database, *, secret: str | None = None) -> None:
        self._database = database
        self._headers = {"Content-Type": "application/json"}
        if secret is not None:
            self._headers["Authorization"] = f"Bearer {secret}"
        self._tasks: KeyedTasks[None] = KeyedTasks("challenge result")
        self._session: aiohttp.ClientSession | None = None

    def start(self, authentication: SimulatedAuthentication) -> asyncio.Task[None]:
        """Start reporting a result, or return the running task.

        It ends after the acknowledgment or the last attempt.
        """
        return self._tasks.start(authentication.acs_trans_id, lambda: self._report(authentication))

    async def report(self, authentication: SimulatedAuthentication, *, timeout_seconds: float) -> None:
        """Report a result and wait this long for the acknowledgment. The retries continue after that."""
        if authentication.reported_at is None:
            await asyncio.wait([self.start(authentication)], timeout=timeout_seconds)

    async def close(self) -> None:
        """Stop reporting. Results without acknowledgment stay in the database."""
        await self._tasks.close()
        if self._session is not None:
            await self._session.close()

    async def _report(self, authentication: SimulatedAuthentication) -> None:
        body = build_rreq(authentication)
        for tries, pause in enumerate(INTERVALS_SECONDS, start=1):
            await asyncio.sleep(pause)
            try:
                check_rres(await self._post(authentication.threeds_server_url, body), authentication)
            except (aiohttp.ClientError, OSError, ResultRefused, EmvProtocolError) as error:
                log.info(
                    "challenge_result.not_acknowledged",
                    acs_trans_id=str(authentication.acs_trans_id),
                    tries=tries,
                    cause=_describe(error),
                )
            else:
                await self._note(authentication.acs_trans_id)
                return
        log.warning(
            "challenge_result.given_up", acs_trans_id=str(authentication.acs_trans_id), tries=len(INTERVALS_SECONDS)
        )

    async def _note(self, acs_trans_id: UUID) -> None:
        async with self._database.acquire() as connection:
            await queries.update_reported(connection, acs_trans_id=acs_trans_id)

    async def _post(self, url: str, body: bytes) -> bytes:
        """Post once. Raises the exceptions of aiohttp and the network, and ResultRefused."""
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
            self._session = aiohttp.ClientSession(timeout=timeout, trust_env=False, headers=self._headers)
        async with self._session.post(url, data=body, allow_redirects=False) as response:
            answer = await response.content.read(MAX_ANSWER_BYTES + 1)
            if response.status != HTTPStatus.OK or len(answer) > MAX_ANSWER_BYTES:
                raise ResultRefused(f"status {response.status}, {len(answer)} bytes")
            return answer


def _describe(error: Exception) -> str:
    """Describe a failure for the log by its type, because its text may contain the whole URL."""
    return str(error) if isinstance(error, ResultRefused | EmvProtocolError) else type(error).__name__
