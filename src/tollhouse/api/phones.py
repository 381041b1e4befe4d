"""Phone verification: `/antifraud/verification/...`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from tollhouse.api.fields.values import MAX_TYPED_CHARACTERS
from tollhouse.api.reading.access import RequestAuthenticator
from tollhouse.api.reading.body import Body, naming_faults
from tollhouse.api.reading.requests import Digest, read_creation, read_query
from tollhouse.http.requests import Purpose, Request
from tollhouse.http.responses import Response, build_http_response
from tollhouse.http.routes import Calls, call
from tollhouse.kernel.countries import NO_COUNTRY, read_country, to_alpha_2
from tollhouse.kernel.errors import Invalid
from tollhouse.kernel.faults import Subject
from tollhouse.phones.model import MAX_CODE_LENGTH, TRIES, InvalidPhone, Phone
from tollhouse.phones.verify import PhoneDependencies, check_code, send_code
from tollhouse.wire.answers import ChannelsAnswer, CodeCheckedAnswer, CodeSentAnswer
from tollhouse.wire.render import render

OPERATION = "phone code"
#: The response to a check is valid once.
UNSTORED = {"Cache-Control": "no-store"}


def _read_region(value: Any) -> str:
    region = to_alpha_2(read_country(value)) if isinstance(value, str) else None
    if region is None:
        raise ValueError(NO_COUNTRY)
    return region


Region = Annotated[
    str, BeforeValidator(_read_region), Field(json_schema_extra={"pattern": "^[A-Z]{2}$", "examples": ["US"]})
]
REGION_TEXT = "The country of a phone without `+` and its country code. Three letters and lower case are accepted too."


class PhoneQuery(Body):
    """The region of the phone in the path."""

    region: Region | None = Field(None, description=REGION_TEXT)


class SendCodeRequest(Body):
    """A phone to send a code to."""

    region: Region | None = Field(None, description=REGION_TEXT)
    phone: str = Field(
        max_length=MAX_TYPED_CHARACTERS,
        description="The number with `+` and its country code, in any usual form; without them `region` is required.",
        examples=["+1 (500) 555.0006"],
    )
    sender: str | None = Field(
        None,
        alias="from",
        min_length=3,
        max_length=16,
        description="The sender named in the message; by default your own name.",
        examples=["Example Shop"],
    )

    @field_validator("phone")
    @classmethod
    def _check_phone(cls, text: str, info: ValidationInfo) -> str:
        if "region" not in info.data:  # it is invalid and has an error of its own
            return text
        return Phone.parse(text, region=info.data["region"]).number

    @field_validator("sender")
    @classmethod
    def _check_sender(cls, text: str | None) -> str | None:
        if text is not None and not text.isprintable():
            raise ValueError("must not have control characters")
        return text


class PhoneCalls(Calls):
    """Phone verification."""

    def __init__(self, phones: PhoneDependencies, authenticator: RequestAuthenticator, digest: Digest) -> None:
        self._phones = phones
        self._authenticator = authenticator
        self._digest = digest

    @call(
        "GET /antifraud/verification/{phone}",
        "List the channels of a phone",
        query=PhoneQuery,
        answer=ChannelsAnswer,
        may_miss=False,
    )
    async def list_channels(self, request: Request) -> Response:
        """Return the channels on which a code can be sent to a phone."""
        valid = await read_query(self._authenticator, request, PhoneQuery)
        read_phone(request.path_parameters["phone"], valid.body.region)
        return Response(render(ChannelsAnswer(channels=list(self._phones.sender.channels))))

    @call(
        "POST /antifraud/verification/{channel}/send",
        "Send a code to a phone",
        Purpose.SELLS,
        SendCodeRequest,
        CodeSentAnswer,
        takes_request_id=True,
        rejects=(429,),
        may_miss=False,
    )
    async def post_code(self, request: Request) -> Response:
        """Send a new six-digit code, which replaces the previous one. It is valid for 10 minutes and 5 attempts."""
        channel = request.path_parameters["channel"]
        valid = await read_creation(
            self._authenticator, request, SendCodeRequest, operation=OPERATION, digest=self._digest
        )

        def render_sent(expires_at: datetime) -> bytes:
            sent = CodeSentAnswer(channel=channel, expireAt=int(expires_at.timestamp()), triesLeft=TRIES)
            return render(sent)

        with naming_faults({Subject.CHANNEL: "channel"}):
            rendered = await send_code(
                self._phones,
                merchant_id=valid.merchant.merchant_id,
                channel=channel,
                phone=Phone.parse(valid.body.phone),
                sender_name=valid.body.sender or valid.merchant.name,
                claim=valid.claim,
                render=render_sent,
            )
        return build_http_response(rendered)

    @call(
        "GET /antifraud/verification/{phone}/{code}",
        "Check a code",
        query=PhoneQuery,
        answer=CodeCheckedAnswer,
        may_miss=False,
    )
    async def get_verdict(self, request: Request) -> Response:
        """Return whether a code is the last one sent to this phone. A correct code is accepted once."""
        valid = await read_query(self._authenticator, request, PhoneQuery)
        verdict = await check_code(
            self._phones,
            merchant_id=valid.merchant.merchant_id,
            phone=read_phone(request.path_parameters["phone"], valid.body.region),
            code=request.path_parameters["code"][:MAX_CODE_LENGTH],
        )
        checked = CodeCheckedAnswer(verified=verdict.is_right, triesLeft=verdict.tries_left)
        return Response(render(checked), headers=UNSTORED)


def read_phone(text: str, region: str | None = None) -> Phone:
    """Read the phone of a path. Raises Invalid."""
    try:
        return Phone.parse(text, region=region)
    except InvalidPhone as error:
        raise Invalid({"phone": [str(error)]}) from None
