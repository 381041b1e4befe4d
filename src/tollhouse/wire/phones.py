"""Responses about phone verification (wire contract, section 4.14): objects, never lists."""

from __future__ import annotations

from pydantic import Field

from tollhouse.wire.answers import ResponseModel


class ChannelsAnswer(ResponseModel):
    """The channels to a phone."""

    channels: list[str] = Field(description="`sms`, `call`, `whatsapp`: what this gateway is set up for.")


class CodeSentAnswer(ResponseModel):
    """The confirmation that a code was sent."""

    channel: str = Field(description="How it was sent.")
    expireAt: int = Field(description="Unix seconds; 10 minutes from now.")
    triesLeft: int = Field(description="How often it may be tried.")


class CodeCheckedAnswer(ResponseModel):
    """Whether a code was right."""

    verified: bool = Field(description="True once, for the code that was sent last.")
    triesLeft: int = Field(description="How often another one may be tried; 0: have a new one sent.")
