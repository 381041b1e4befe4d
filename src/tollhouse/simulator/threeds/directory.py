"""The simulated Directory Server: handles AReq and PReq of EMV 3-D Secure with ARes, PRes or Erro."""

from __future__ import annotations

from dataclasses import replace

from tollhouse.simulator import rules
from tollhouse.simulator.test_data import find_test_card
from tollhouse.simulator.threeds.access_control import ChallengeService
from tollhouse.simulator.threeds.authentications import insert_authentication
from tollhouse.simulator.threeds.emv_fields import EmvProtocolError
from tollhouse.simulator.threeds.emv_messages import build_ares, build_erro, build_pres, read_areq
from tollhouse.simulator.words import choose_language
from tollhouse.storage.database import Database


class DirectoryServer:
    """The handlers of a 3DS Server's messages, from bodies to bodies. The response to a faulty one is an Erro."""

    def __init__(
        self, database: Database, access_control: ChallengeService, *, base_url: str, challenge_life_seconds: float
    ) -> None:
        self._database = database
        self._access_control = access_control
        self._base_url = base_url
        self._challenge_life_seconds = challenge_life_seconds

    async def authenticate(self, body: bytes) -> bytes:
        """Respond to an AReq. A repeated threeDSServerTransID gets the same ARes."""
        try:
            request = read_areq(body)
        except EmvProtocolError as error:
            return build_erro(error, answers="AReq")
        async with self._database.acquire() as connection:
            if request.card is None:
                request = replace(request, card=await find_test_card(connection, request.number))
            life = self._challenge_life_seconds
            authentication = await insert_authentication(connection, request, rules.assess(request), life_seconds=life)
        if authentication.first_status == "D" and authentication.is_open:
            self._access_control.start_decoupled(authentication)
        return build_ares(authentication, base_url=self._base_url, language=choose_language(request.language))

    async def list_ranges(self, body: bytes) -> bytes:
        """Respond to a PReq with versions and 3DS Method URLs of the published cards."""
        try:
            return build_pres(body, base_url=self._base_url)
        except EmvProtocolError as error:
            return build_erro(error, answers="PReq")
