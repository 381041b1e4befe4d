"""`POST /consumer`, `GET /consumer/{consumerId}` and `PUT /consumer/{consumerId}`."""

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
from tollhouse.http.requests import Purpose, Request
from tollhouse.http.responses import Response, build_http_response
from tollhouse.http.routes import Calls, call
from tollhouse.idempotency.create import create_once
from tollhouse.kernel.errors import NotFound
from tollhouse.storage.database import Database
from tollhouse.vault.vault import Vault
from tollhouse.wire.render import build_timestamp, render
from tollhouse.wire.resources import ConsumerAnswer

MISSING = "Consumer not found."

#: Fields of a profile that a response shows.
SHOWN = frozenset(ConsumerAnswer.model_fields) - {"id", "externalId", "groupId", "blocked", "createdAt", "updatedAt"}

GroupId = Annotated[
    Literal["1", "2", "3", "4", "5"],
    BeforeValidator(lambda value: str(value) if isinstance(value, int | Decimal) else value),
]


class ConsumerChangeRequest(Body):
    """Changes of a consumer; absent, null and empty fields are unchanged."""

    username: TypedText | None = None
    email: TypedText | None = Field(
        None, pattern=EMAIL_FORM, examples=["jane.smith@shop.example"], json_schema_extra={"format": "email"}
    )
    firstName: TypedText | None = None
    lastName: TypedText | None = None
    birthday: Day = Field(None, description="`YYYY-MM-DD`; `0000-00-00` means no date.")
    country: Country | None = Field(
        None, description="The ISO 3166-1 code, three letters. Two letters and lower case are accepted too."
    )
    groupId: GroupId | None = Field(
        None, description="1 whitelist, 2 blacklist, 3 junior, 4 senior, 5 expert. Payments of group 2 are blocked."
    )

    def to_change(self) -> ConsumerChange:
        """Return the given fields in the terms of the domain."""
        profile = self.model_dump(exclude_none=True, exclude={"groupId", "externalId"})
        return ConsumerChange(Group(int(self.groupId)) if self.groupId else None, profile)


class ConsumerRequest(ConsumerChangeRequest):
    """A consumer to create or update."""

    externalId: str = Field(min_length=3, max_length=255, description="Your own ID.", examples=["user-00123"])


class ConsumerCalls(Calls):
    """Consumers: create, get and update."""

    def __init__(self, database: Database, vault: Vault, authenticator: RequestAuthenticator) -> None:
        self._database = database
        self._vault = vault
        self._authenticator = authenticator

    @call(
        "POST /consumer", "Create a consumer", Purpose.SETS_UP, ConsumerRequest, ConsumerAnswer, takes_request_id=True
    )
    async def post_consumer(self, request: Request) -> Response:
        """Create a consumer, or update the one with this `externalId` with the fields that are sent.

        Consumers created by payments are found too. The group of a known consumer is unchanged: update it with PUT.
        """
        valid = await read_creation(
            self._authenticator, request, ConsumerRequest, operation="consumer", digest=self._vault.digest
        )
        merchant_id, external_id = valid.merchant.merchant_id, valid.body.externalId
        consumer_id = derive_consumer_id(self._vault.identity_key, merchant_id=merchant_id, external_id=external_id)
        rendered = await create_once(
            self._database,
            valid.claim,
            upsert_consumer,
            show_consumer,
            merchant_id=merchant_id,
            consumer_id=consumer_id,
            external_id=external_id,
            change=valid.body.to_change(),
        )
        return build_http_response(rendered)

    @call("GET /consumer/{consumerId}", "Get a consumer", answer=ConsumerAnswer)
    async def get_consumer(self, request: Request) -> Response:
        """Return a consumer by the gateway's ID."""
        merchant = await self._authenticator.access(request)
        return _render(await find_consumer(self._database, merchant.merchant_id, request.path_parameters["consumerId"]))

    @call("PUT /consumer/{consumerId}", "Update a consumer", Purpose.SETS_UP, ConsumerChangeRequest, ConsumerAnswer)
    async def put_consumer(self, request: Request) -> Response:
        """Change the fields that are sent. The next payment uses them, on every node."""
        valid = await read_request(self._authenticator, request, ConsumerChangeRequest)
        change = valid.body.to_change()
        if change == ConsumerChange():
            return _render(
                await find_consumer(self._database, valid.merchant.merchant_id, request.path_parameters["consumerId"])
            )
        async with self._database.acquire() as connection:
            entry = await update_consumer(
                connection,
                merchant_id=valid.merchant.merchant_id,
                consumer_id=read_name(request.path_parameters["consumerId"], MISSING),
                change=change,
            )
        return _render(entry)


async def find_consumer(database: Database, merchant_id: int, consumer_id: str) -> ConsumerEntry:
    """Return a merchant's consumer. Raises NotFound."""
    async with database.acquire() as connection:
        entry = await select_consumer_entry(
            connection, merchant_id=merchant_id, consumer_id=read_name(consumer_id, MISSING)
        )
    if entry is None:
        raise NotFound(MISSING)
    return entry


def _render(entry: ConsumerEntry | None) -> Response:
    if entry is None:
        raise NotFound(MISSING)
    return Response(show_consumer(entry))


def show_consumer(entry: ConsumerEntry) -> bytes:
    """Render a consumer for its merchant."""
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
