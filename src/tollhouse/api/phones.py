"""Phone verification: `/antifraud/verification/...` (wire contract, section 4.14)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from litestar import Response, get, post
from litestar.params import FromPath
from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from tollhouse.api.access import AnyRequest, RequestAuthenticator
from tollhouse.api.decode import Body
from tollhouse.api.fields import COUNTRY_FORM, MAX_TYPED_CHARACTERS
from tollhouse.api.openapi import describe
from tollhouse.api.requests import Digest, answer, read_creation, read_query
from tollhouse.kernel.countries import NO_COUNTRY, read_country, to_alpha_2
from tollhouse.kernel.errors import Invalid
from tollhouse.phones.check import check_code
from tollhouse.phones.model import MAX_CODE_LENGTH, TRIES, Phone, PhoneMisshapen
from tollhouse.phones.send import send_code
from tollhouse.wire.phones import ChannelsAnswer, CodeCheckedAnswer, CodeSentAnswer
from tollhouse.wire.render import render

if TYPE_CHECKING:
    from datetime import datetime

    from litestar.handlers import HTTPRouteHandler

    from tollhouse.phones.desk import PhoneDependencies

PATH = "/antifraud/verification"
OPERATION = "phone code"
JSON = "application/json"
#: What a check says is true for one moment.
UNSTORED = {"Cache-Control": "no-store"}


def _read_region(value: Any) -> str:
    region = to_alpha_2(read_country(value)) if isinstance(value, str) else None
    if region is None:
        raise ValueError(NO_COUNTRY)
    return region


Region = Annotated[
    str, BeforeValidator(_read_region), Field(json_schema_extra={"pattern": COUNTRY_FORM, "examples": ["US"]})
]
REGION_TEXT = "The country of a phone that is written without `+` and its country code."


class PhoneQuery(Body):
    """How the phone of a path is read."""

    region: Region | None = Field(None, description=REGION_TEXT)


class SendCodeRequest(Body):
    """A phone to send a code to."""

    region: Region | None = Field(None, description=REGION_TEXT)
    phone: str = Field(
        max_length=MAX_TYPED_CHARACTERS,
        description="With `+` and its country code, in any usual form; without them `region` is required.",
        examples=["+1 (500) 555.0006"],
    )
    sender: str | None = Field(
        None,
        alias="from",
        min_length=3,
        max_length=16,
        description="Who sends the code, as the message says; by default your own name.",
        examples=["Example Shop"],
    )

    @field_validator("phone")
    @classmethod
    def _check_phone(cls, text: str, info: ValidationInfo) -> str:
        if "region" not in info.data:  # it is faulty, and named for itself
            return text
        return Phone.parse(text, region=info.data["region"]).number

    @field_validator("sender")
    @classmethod
    def _check_sender(cls, text: str | None) -> str | None:
        if text is not None and not text.isprintable():
            raise ValueError("must not have control characters")
        return text


def phone_handlers(desk: PhoneDependencies, gate: RequestAuthenticator, digest: Digest) -> list[HTTPRouteHandler]:
    """Return the handlers."""

    @get(f"{PATH}/{{phone:str}}", opt=describe("List the channels to a phone", query=PhoneQuery, answer=ChannelsAnswer))
    async def list_channels(request: AnyRequest, phone: FromPath[str]) -> Response[bytes]:
        """Return the ways on which a code can be sent to a phone."""
        asked = await read_query(gate, request, PhoneQuery)
        read_phone(phone, asked.body.region)
        return Response(render(ChannelsAnswer(channels=list(desk.sender.channels))), media_type=JSON)

    @post(
        f"{PATH}/{{channel:str}}/send",
        opt=describe(
            "Send a code to a phone",
            request=SendCodeRequest,
            answer=CodeSentAnswer,
            takes_request_id=True,
            refuses=[429],
        ),
    )
    async def post_code(request: AnyRequest, channel: FromPath[str]) -> Response[bytes]:
        """Send a new six-digit code, which takes the place of the one before. It is good for 10 minutes and 5 tries."""
        asked = await read_creation(gate, request, SendCodeRequest, operation=OPERATION, digest=digest)

        def render_sent(expires_at: datetime) -> bytes:
            sent = CodeSentAnswer(channel=channel, expireAt=int(expires_at.timestamp()), triesLeft=TRIES)
            return render(sent)

        reply = await send_code(
            desk,
            merchant_id=asked.merchant.merchant_id,
            channel=channel,
            phone=Phone.parse(asked.body.phone),
            sender_name=asked.body.sender or asked.merchant.name,
            claim=asked.claim,
            render=render_sent,
        )
        return answer(reply)

    @get(
        f"{PATH}/{{phone:str}}/{{code:str}}",
        opt=describe("Check a code", query=PhoneQuery, answer=CodeCheckedAnswer),
    )
    async def get_verdict(request: AnyRequest, phone: FromPath[str], code: FromPath[str]) -> Response[bytes]:
        """Say whether a code is the one that was sent to this phone last. A right code is right once."""
        asked = await read_query(gate, request, PhoneQuery)
        verdict = await check_code(
            desk,
            merchant_id=asked.merchant.merchant_id,
            phone=read_phone(phone, asked.body.region),
            code=code[:MAX_CODE_LENGTH],
        )
        checked = CodeCheckedAnswer(verified=verdict.is_right, triesLeft=verdict.tries_left)
        return Response(render(checked), media_type=JSON, headers=UNSTORED)

    return [list_channels, post_code, get_verdict]


def read_phone(text: str, region: str | None = None) -> Phone:
    """Read the phone of a path. Raises Invalid."""
    try:
        return Phone.parse(text, region=region)
    except PhoneMisshapen as error:
        raise Invalid({"phone": [str(error)]}) from None
