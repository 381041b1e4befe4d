"""Stored cards: a consumer's list of them, and switching one (wire contract, 3.7 and 4.11)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from pydantic import Field

from tollhouse.api.access import AnyRequest, RequestAuthenticator
from tollhouse.api.consumer import find_consumer
from tollhouse.api.decode import Body
from tollhouse.api.ids import read_uuid
from tollhouse.api.openapi import describe
from tollhouse.api.requests import read_query
from tollhouse.kernel.errors import NotFound
from tollhouse.vault.accounts import ShownAccount, list_accounts, update_account_disabled
from tollhouse.wire.render import render
from tollhouse.wire.resources import AccountAnswer, AccountListAnswer

if TYPE_CHECKING:
    from tollhouse.payments.tools import Tools

MAX_ACCOUNTS = 100
MISSING = "There is no such payment account."


class AccountsQuery(Body):
    """Which part of a list is asked for."""

    limit: int = Field(MAX_ACCOUNTS, ge=1, le=MAX_ACCOUNTS, description="How many at most.")
    cursor: UUID | None = Field(None, description="The last `paymentAccountId` of the part before.")


def payment_account_handlers(tools: Tools, gate: RequestAuthenticator) -> list[HTTPRouteHandler]:
    """Return the handlers. What a body says does not matter to those that switch."""

    @get(
        "/consumer/{consumer_id:str}/paymentAccounts",
        opt=describe("List a consumer's cards", query=AccountsQuery, answer=AccountListAnswer, may_miss=True),
    )
    async def get_accounts(request: AnyRequest, consumer_id: FromPath[str]) -> Response[bytes]:
        """Return the stored cards of a consumer, newest first."""
        asked = await read_query(gate, request, AccountsQuery)
        entry = await find_consumer(tools, asked.merchant.merchant_id, consumer_id)
        async with tools.database.acquire() as connection:
            accounts = await list_accounts(
                connection,
                merchant_id=asked.merchant.merchant_id,
                consumer_id=entry.consumer.consumer_id,
                after=asked.body.cursor,
                most=asked.body.limit,
            )
        content = AccountListAnswer([build_account(account) for account in accounts])
        return Response(render(content), media_type="application/json")

    @post(
        "/paymentAccount/{payment_account_id:str}/enable",
        status_code=200,
        opt=describe("Enable a stored card", answer=None, may_miss=True),
    )
    async def enable_account(request: AnyRequest, payment_account_id: FromPath[str]) -> Response[bytes]:
        """Let a stored card be paid with again."""
        return await _switch(tools, gate, request, payment_account_id, disabled=False)

    @post(
        "/paymentAccount/{payment_account_id:str}/disable",
        status_code=200,
        opt=describe("Disable a stored card", answer=None, may_miss=True),
    )
    async def disable_account(request: AnyRequest, payment_account_id: FromPath[str]) -> Response[bytes]:
        """Let a stored card be paid with no more: such payments are `fail` 1020. Running subscriptions go on."""
        return await _switch(tools, gate, request, payment_account_id, disabled=True)

    return [get_accounts, enable_account, disable_account]


async def _switch(
    tools: Tools, gate: RequestAuthenticator, request: AnyRequest, text: str, *, disabled: bool
) -> Response[bytes]:
    merchant = await gate.access(request)
    account_id = read_uuid(text, MISSING)
    async with tools.database.acquire() as connection:
        is_known = await update_account_disabled(
            connection, merchant_id=merchant.merchant_id, account_id=account_id, disabled=disabled
        )
    if not is_known:
        raise NotFound(MISSING)
    return Response(b"", status_code=200)


def build_account(account: ShownAccount) -> AccountAnswer:
    """Build a stored card as its merchant sees it."""
    return AccountAnswer(
        paymentAccountId=str(account.account_id),
        number=account.masked_number,
        brand=account.brand,
        expirationMonth=account.expiry_month,
        expirationYear=account.expiry_year % 100,
        disabled=account.disabled,
    )
