"""The whole simulator: it takes a path and a body and returns a body or silence, by HTTP or in process.

`InProcessTransport` is the way without a network.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from uuid import UUID

import structlog

from tollhouse.kernel.clock import boot_seconds
from tollhouse.kernel.errors import NotFound, Rejection
from tollhouse.simulator import messages
from tollhouse.simulator.faults import Faults
from tollhouse.simulator.issuing.disputes import DisputeService
from tollhouse.simulator.issuing.issuer import Issuer
from tollhouse.simulator.issuing.updater import update_account
from tollhouse.simulator.model import Silence
from tollhouse.simulator.store import queries
from tollhouse.simulator.test_data import TestDataService
from tollhouse.simulator.threeds.access_control import ChallengeService
from tollhouse.simulator.threeds.directory import DirectoryServer
from tollhouse.simulator.threeds.reports import Reporter
from tollhouse.storage.database import Database
from tollhouse.transport.model import NoResponse, RequestNotSent

Answer = Callable[[bytes], Awaitable[bytes | Silence]]

#: A challenge times out if it is not opened, or not answered after it was opened, within this time.
CHALLENGE_TIMEOUT_SECONDS = 600.0

CHALLENGES = "/control/challenges/"

log = structlog.get_logger()


class Simulator:
    """The issuer's host, the Directory Server, the ACS and their control.

    `base_url` is the URL of the pages of `app` for browsers. `slow_seconds` and `late_seconds` are the delays of the
    cards with these names; `decoupled_seconds` is the cardholder's delay in the bank's app. `directory_secret` is sent
    with results of challenges.
    """

    def __init__(
        self,
        database: Database,
        *,
        base_url: str,
        slow_seconds: float = 30.0,
        late_seconds: float = 20.0,
        decoupled_seconds: float = 5.0,
        challenge_life_seconds: float = CHALLENGE_TIMEOUT_SECONDS,
        directory_secret: str | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._database = database
        faults = Faults()
        self._issuer = Issuer(database, faults, slow_seconds=slow_seconds, late_seconds=late_seconds)
        self._reporter = Reporter(database, secret=directory_secret)
        self.access_control = ChallengeService(
            database, self._reporter, challenge_life_seconds=challenge_life_seconds, decoupled_seconds=decoupled_seconds
        )
        directory = DirectoryServer(
            database, self.access_control, base_url=self.base_url, challenge_life_seconds=challenge_life_seconds
        )
        test_data = TestDataService(database)
        disputes = DisputeService(database)
        self._answers: Mapping[str, Answer] = {
            "/acquirer/authorize": self._issuer.authorize,
            "/acquirer/capture": self._issuer.capture,
            "/acquirer/void": self._issuer.void,
            "/acquirer/credit": self._issuer.credit,
            "/acquirer/inquire": self._issuer.inquire,
            "/acquirer/reverse": self._issuer.reverse,
            "/acquirer/update-account": update_account,
            "/acquirer/disputes": disputes.list,
            "/acquirer/disputes/acknowledge": disputes.acknowledge,
            "/directory": directory.authenticate,
            "/directory/ranges": directory.list_ranges,
            "/control/journal": self._list_journal,
            "/control/faults/add": faults.add,
            "/control/faults/list": faults.list,
            "/control/faults/clear": faults.clear,
            "/control/test-data/create": test_data.create,
            "/control/test-data/list": test_data.list,
            "/control/test-data/read": test_data.read,
            "/control/test-data/change": test_data.change,
            "/control/test-data/delete": test_data.delete,
        }

    @property
    def paths(self) -> Collection[str]:
        """The paths of messages, without those of single challenges."""
        return self._answers.keys()

    async def start(self) -> None:
        """Resume the open work of the last process. Raises DatabaseUnavailable."""
        await self.access_control.resume()

    async def close(self) -> None:
        """Stop background tasks. The caller closes the database."""
        await self._issuer.close()
        await self.access_control.close()
        await self._reporter.close()

    async def check(self) -> None:
        """Raise DatabaseUnavailable if messages cannot be answered."""
        async with self._database.acquire() as connection:
            await connection.execute("select 1")

    async def handle(self, path: str, body: bytes) -> bytes | Silence:
        """Respond to a POST.

        Raises NotFound for an unknown path or challenge, Invalid for a faulty body, and Unavailable.
        """
        answer = self._answers.get(path)
        if answer is not None:
            return await answer(body)
        if path.startswith(CHALLENGES):
            return await self._end_challenge(path.removeprefix(CHALLENGES), body)
        raise NotFound

    async def _end_challenge(self, acs_trans_id: str, body: bytes) -> bytes:
        result = messages.read_challenge_result(body)
        try:
            challenge = UUID(acs_trans_id)
        except ValueError:
            raise NotFound from None
        return messages.build_challenge_status(await self.access_control.act(challenge, result))

    async def _list_journal(self, body: bytes) -> bytes:
        wanted = messages.read_journal_request(body)
        async with self._database.acquire() as connection:
            rows = queries.select_journal(connection, acceptor=wanted.acceptor, row_limit=wanted.limit)
            return messages.build_journal([row async for row in rows])


class InProcessTransport:
    """A `tollhouse.transport.model.Transport` to a simulator. Every failure inside is `NoResponse`."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    async def post(
        self, path: str, body: bytes, *, timeout_seconds: float, send_before: float, is_repeatable: bool = False
    ) -> bytes:
        """Pass a body and return the response.

        Raises RequestNotSent past the deadline, and NoResponse after silence, at the timeout, and for a rejection.
        """
        del is_repeatable  # no connection can break
        if boot_seconds() >= send_before:
            raise RequestNotSent("The deadline for sending had passed.")
        try:
            async with asyncio.timeout(timeout_seconds):
                answer = await self._simulator.handle(path, body)
                if isinstance(answer, Silence):
                    await asyncio.sleep(answer.seconds)
        except TimeoutError as error:
            raise NoResponse from error
        except Rejection as error:
            log.info("simulator.request_rejected", path=path, cause=type(error).__name__)
            raise NoResponse from error
        except Exception as error:
            log.exception("simulator.request_failed", path=path)
            raise NoResponse from error
        if isinstance(answer, Silence):
            raise NoResponse
        return answer
