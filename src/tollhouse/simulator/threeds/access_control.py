"""The ACS: challenges, from the first CReq to the acknowledged RReq.

A challenge is a row that is decided once, even if requests are repeated: a refresh, the back button, a double submit, a
second tab, the control API beside the browser. Later requests get the first decision.
"""

from __future__ import annotations

import asyncio
from uuid import UUID

from tollhouse.kernel.errors import Invalid, NotFound
from tollhouse.simulator.model import SimulatedAuthentication
from tollhouse.simulator.store import queries
from tollhouse.simulator.tasks import KeyedTasks
from tollhouse.simulator.threeds import authentications
from tollhouse.simulator.threeds.authentications import select_authentication
from tollhouse.simulator.threeds.emv_fields import EmvProtocolError
from tollhouse.simulator.threeds.emv_messages import read_creq
from tollhouse.simulator.threeds.reports import Reporter
from tollhouse.storage.database import Database, PlainConnection

RIGHT_CODE = "123456"
MAX_CODES = 3

#: The time that the browser waits for the 3DS Server to acknowledge the result. Then it returns, and the retries
#: continue.
TIMEOUT_SECONDS = 5.0


class ChallengeService:
    """The service for challenges.

    Every method returns the authentication in its new state, reported if it is decided.
    """

    def __init__(
        self, database: Database, reporter: Reporter, *, challenge_life_seconds: float, decoupled_seconds: float
    ) -> None:
        self._database = database
        self._reporter = reporter
        self._challenge_life_seconds = challenge_life_seconds
        self._decoupled_seconds = decoupled_seconds
        self._decoupled: KeyedTasks[None] = KeyedTasks("decoupled authentication")

    async def open(self, creq: str) -> SimulatedAuthentication:
        """Open the challenge of a CReq.

        Raises Invalid for a faulty CReq, NotFound for one without a challenge.
        """
        try:
            acs_trans_id, threeds_server_trans_id = read_creq(creq)
        except EmvProtocolError as error:
            raise Invalid({"creq": [str(error)]}) from None
        async with self._database.acquire() as connection:
            found = await _select_challenge(connection, acs_trans_id)
            if found.threeds_server_trans_id != threeds_server_trans_id or found.first_status != "C":
                raise NotFound
            life = self._challenge_life_seconds
            opened = await queries.update_opened(connection, acs_trans_id=acs_trans_id, life_seconds=life)
        return await self._report_if_decided(authentications.read(opened) if opened else found)

    async def look(self, acs_trans_id: UUID) -> SimulatedAuthentication:
        """Return the challenge, after ending it if it has expired. Raises NotFound."""
        async with self._database.acquire() as connection:
            found = await _select_challenge(connection, acs_trans_id)
        return await self._report_if_decided(found)

    async def enter_code(self, acs_trans_id: UUID, code: str, *, attempt: int) -> SimulatedAuthentication:
        """Check a code that was typed into the page of the given attempt, counted from 0. Raises NotFound."""
        async with self._database.acquire() as connection:
            found = await _select_challenge(connection, acs_trans_id)
            if code == RIGHT_CODE:
                await authentications.update_passed(connection, found)
            else:
                await queries.update_wrong_code(connection, acs_trans_id=acs_trans_id, attempt=attempt)
            found = await _select_challenge(connection, acs_trans_id)
        return await self._report_if_decided(found)

    async def cancel(self, acs_trans_id: UUID) -> SimulatedAuthentication:
        """Cancel the challenge, as the Cancel button does. Raises NotFound."""
        async with self._database.acquire() as connection:
            found = await _select_challenge(connection, acs_trans_id)
            await authentications.update_canceled(connection, found)
            found = await _select_challenge(connection, acs_trans_id)
        return await self._report_if_decided(found)

    async def time_out(self, acs_trans_id: UUID) -> SimulatedAuthentication:
        """Expire the challenge. Raises NotFound."""
        async with self._database.acquire() as connection:
            await queries.update_timed_out(connection, acs_trans_id=acs_trans_id)
            found = await _select_challenge(connection, acs_trans_id)
        return await self._report_if_decided(found)

    async def act(self, acs_trans_id: UUID, result: str) -> SimulatedAuthentication:
        """Act as the cardholder without a browser: pass, fail (three wrong codes), cancel or timeout.

        Raises NotFound.
        """
        if result == "cancel":
            return await self.cancel(acs_trans_id)
        if result == "timeout":
            return await self.time_out(acs_trans_id)
        if result == "pass":
            return await self.enter_code(acs_trans_id, RIGHT_CODE, attempt=0)
        found = await self.enter_code(acs_trans_id, "", attempt=0)
        for _ in range(MAX_CODES):
            if not found.is_open:
                break
            found = await self.enter_code(acs_trans_id, "", attempt=found.wrong_codes)
        return found

    def start_decoupled(self, authentication: SimulatedAuthentication) -> None:
        """Start the cardholder's delayed confirmation in the bank's app."""
        _ = self._decoupled.start(
            authentication.acs_trans_id, lambda: self._decide_decoupled(authentication.acs_trans_id)
        )

    async def resume(self) -> None:
        """Resume the work of the last process.

        Results without acknowledgment, decoupled authentications without a result.
        """
        async with self._database.acquire() as connection:
            unfinished = await authentications.select_unfinished(connection)
        for authentication in unfinished:
            if authentication.is_open:
                self.start_decoupled(authentication)
            else:
                _ = self._reporter.start(authentication)

    async def close(self) -> None:
        """Stop waiting for cardholders."""
        await self._decoupled.close()

    async def _report_if_decided(self, authentication: SimulatedAuthentication) -> SimulatedAuthentication:
        if not authentication.is_open:
            await self._reporter.report(authentication, timeout_seconds=TIMEOUT_SECONDS)
        return authentication

    async def _decide_decoupled(self, acs_trans_id: UUID) -> None:
        await asyncio.sleep(self._decoupled_seconds)
        await self.enter_code(acs_trans_id, RIGHT_CODE, attempt=0)


async def _select_challenge(connection: PlainConnection, acs_trans_id: UUID) -> SimulatedAuthentication:
    """Return an authentication with a challenge. Raises NotFound."""
    found = await select_authentication(connection, acs_trans_id)
    if found is None or found.first_status not in {"C", "D"}:
        raise NotFound
    return found
