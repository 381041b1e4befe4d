"""The response of the feed."""

from __future__ import annotations

from pydantic import Field

from tollhouse.wire.answers import PaymentEvent, ResponseModel


class FeedMeta(ResponseModel):
    """The position of the next page."""

    limit: int = Field(description="As asked for.")
    cursor: str | None = Field(None, description="Ask with this for the next page; not there on the last one.")


class FeedAnswer(ResponseModel):
    """Transactions, newest first."""

    data: list[PaymentEvent] = Field(
        description="May be shorter than `limit`, or empty, before the last page: a page looks at 10,000 transactions."
    )
    meta: FeedMeta
