"""`POST /consumer`, `GET /consumer/{consumerId}` and `PUT /consumer/{consumerId}` (wire contract, 3.2 and 4.12)."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from tollhouse.api.fields.values import EMAIL_FORM, Country, Day, TypedText
from tollhouse.api.reading.access import RequestAuthenticator
from tollhouse.api.reading.body import Body
from tollhouse.api.reading.ids import read_name
from tollhouse.api.reading.requests import read_creation, read_request
from tollhouse.consumers.model import ConsumerChange, ConsumerEntry, Group, derive_consumer_id
from tollhouse.consumers.store import select_consumer_entry, update_consumer, upsert_consumer
from tollhouse.http.purposes import Purpose
from tollhouse.http.requests import Request
from tollhouse.http.responses import Response, answer_reply
from tollhouse.http.routes import Calls, call
from tollhouse.idempotency.create import create_once
from tollhouse.kernel.errors import NotFound
from tollhouse.storage.database import Database
from tollhouse.vault.vault import Vault
from tollhouse.wire.render import build_timestamp, render
from tollhouse.wire.resources import ConsumerAnswer

MISSING = "There is no such consumer."

#: What a profile may say that an answer shows.
SHOWN = frozenset(ConsumerAnswer.model_fields) - {"id", "externalId", "groupId", "blocked", "createdAt", "updatedAt"}

GroupId = Annotated[
    Literal["1", "2", "3", "4", "5"],
    BeforeValidator(lambda value: str(value) if isinstance(value, int | Decimal) else value),
]


class ConsumerChangeRequest(Body):
    """What is to be changed of a consumer; what is left out, null or empty stays."""

    username: TypedText | None = None
    email: TypedText | None = Field(
        None, pattern=EMAIL_FORM, examples=["jane.smith@shop.example"], json_schema_extra={"format": "email"}
    )
    firstName: TypedText | None = None
    lastName: TypedText | None = None
    birthday: Day = Field(None, description="`YYYY-MM-DD`; `0000-00-00` is none.")
    country: Country | None = Field(
        None, description="ISO 3166-1, three letters. Two letters and lower case are taken too."
    )
    groupId: GroupId | None = Field(
        None, description="1 whitelist, 2 blacklist, 3 junior, 4 senior, 5 expert. Payments of group 2 are refused."
    )

    def to_change(self) -> ConsumerChange:
        """Return what is given, in the words of the house."""
        profile = self.model_dump(exclude_none=True, exclude={"groupId", "externalId"})
        return ConsumerChange(Group(int(self.groupId)) if self.groupId else None, profile)


class ConsumerRequest(ConsumerChangeRequest):
    """A consumer to be made, or to be described anew."""

    externalId: str = Field(min_length=3, max_length=255, description="Your own id.", examples=["user-00123"])


class ConsumerCalls(Calls):
    """Consumers: create, get and change."""

    def __init__(self, database: Database, vault: Vault, gate: RequestAuthenticator) -> None:
        self._database = database
        self._vault = vault
        self._gate = gate

    @call("POST /consumer", "Make a consumer", Purpose.SETS_UP, ConsumerRequest, ConsumerAnswer, takes_request_id=True)
    async def post_consumer(self, request: Request) -> Response:
        """Make a consumer, or find the one with this `externalId` and describe it anew by the fields that are sent.

        A consumer that a payment made is found likewise. The group of one that is known stays: change it with PUT.
        """
        asked = await read_creation(
            self._gate, request, ConsumerRequest, operation="consumer", digest=self._vault.digest
        )
        merchant_id, external_id = asked.merchant.merchant_id, asked.body.externalId
        consumer_id = derive_consumer_id(self._vault.identity_key, merchant_id=merchant_id, external_id=external_id)
        reply = await create_once(
            self._database,
            asked.claim,
            upsert_consumer,
            show_consumer,
            merchant_id=merchant_id,
            consumer_id=consumer_id,
            external_id=external_id,
            change=asked.body.to_change(),
        )
        return answer_reply(reply)

    @call("GET /consumer/{consumerId}", "Look a consumer up", answer=ConsumerAnswer)
    async def get_consumer(self, request: Request) -> Response:
        """Return a consumer by the gateway's id."""
        merchant = await self._gate.access(request)
        return _answer(await find_consumer(self._database, merchant.merchant_id, request.path_parameters["consumerId"]))

    @call("PUT /consumer/{consumerId}", "Change a consumer", Purpose.SETS_UP, ConsumerChangeRequest, ConsumerAnswer)
    async def put_consumer(self, request: Request) -> Response:
        """Change the group and whatever else is sent. It holds for the next payment, on every node."""
        asked = await read_request(self._gate, request, ConsumerChangeRequest)
        change = asked.body.to_change()
        if change == ConsumerChange():
            return _answer(
                await find_consumer(self._database, asked.merchant.merchant_id, request.path_parameters["consumerId"])
            )
        async with self._database.acquire() as connection:
            entry = await update_consumer(
                connection,
                merchant_id=asked.merchant.merchant_id,
                consumer_id=read_name(request.path_parameters["consumerId"], MISSING),
                change=change,
            )
        return _answer(entry)


async def find_consumer(database: Database, merchant_id: int, consumer_id: str) -> ConsumerEntry:
    """Return a merchant's consumer. Raises NotFound."""
    async with database.acquire() as connection:
        entry = await select_consumer_entry(
            connection, merchant_id=merchant_id, consumer_id=read_name(consumer_id, MISSING)
        )
    if entry is None:
        raise NotFound(MISSING)
    return entry


def _answer(entry: ConsumerEntry | None) -> Response:
    if entry is None:
        raise NotFound(MISSING)
    return Response(show_consumer(entry))


def show_consumer(entry: ConsumerEntry) -> bytes:
    """Write a consumer as its merchant sees it."""
    consumer = entry.consumer
    known: dict[str, Any] = {name: value for name, value in consumer.profile.items() if name in SHOWN}
    return render(
        ConsumerAnswer(
            id=consumer.consumer_id,
            externalId=consumer.external_id,
            groupId=str(entry.group.value),  # type: ignore[arg-type]  # a group is one of the five
            blocked=entry.group is Group.BLACKLIST,
            createdAt=build_timestamp(entry.created_at),
            updatedAt=build_timestamp(entry.updated_at),
            **known,
        )
    )
