"""Stored cards: list, enable and disable."""

from __future__ import annotations

from uuid import UUID

from pydantic import Field

from tollhouse.api.consumer import find_consumer
from tollhouse.api.reading.access import RequestAuthenticator
from tollhouse.api.reading.body import Body
from tollhouse.api.reading.ids import read_uuid
from tollhouse.api.reading.requests import read_query
from tollhouse.http.requests import Purpose, Request
from tollhouse.http.responses import Response
from tollhouse.http.routes import Calls, call
from tollhouse.kernel.errors import NotFound
from tollhouse.storage.database import Database
from tollhouse.vault.accounts import StoredCardView, list_accounts, update_account_disabled
from tollhouse.wire.render import render
from tollhouse.wire.resources import AccountAnswer, AccountListAnswer

MAX_ACCOUNTS = 100
MISSING = "Payment account not found."


class AccountsQuery(Body):
    """A part of the list."""

    limit: int = Field(MAX_ACCOUNTS, ge=1, le=MAX_ACCOUNTS, description="The maximum number of entries.")
    cursor: UUID | None = Field(None, description="The last `paymentAccountId` of the previous page.")


class AccountCalls(Calls):
    """Stored cards: list, enable and disable."""

    def __init__(self, database: Database, authenticator: RequestAuthenticator) -> None:
        self._database = database
        self._authenticator = authenticator

    @call(
        "GET /consumer/{consumerId}/paymentAccounts",
        "List a consumer's stored cards",
        query=AccountsQuery,
        answer=AccountListAnswer,
    )
    async def get_accounts(self, request: Request) -> Response:
        """Return the stored cards of a consumer, newest first."""
        valid = await read_query(self._authenticator, request, AccountsQuery)
        entry = await find_consumer(self._database, valid.merchant.merchant_id, request.path_parameters["consumerId"])
        async with self._database.acquire() as connection:
            accounts = await list_accounts(
                connection,
                merchant_id=valid.merchant.merchant_id,
                consumer_id=entry.consumer.consumer_id,
                after=valid.body.cursor,
                most=valid.body.limit,
            )
        content = AccountListAnswer([build_account(account) for account in accounts])
        return Response(render(content))

    @call("POST /paymentAccount/{paymentAccountId}/enable", "Enable a stored card", Purpose.SETS_UP)
    async def enable_account(self, request: Request) -> Response:
        """Enable a stored card for payments again."""
        return await self._switch(request, disabled=False)

    @call("POST /paymentAccount/{paymentAccountId}/disable", "Disable a stored card", Purpose.SETS_UP)
    async def disable_account(self, request: Request) -> Response:
        """Disable a stored card: payments with it are `fail` 1020. Active subscriptions continue."""
        return await self._switch(request, disabled=True)

    async def _switch(self, request: Request, *, disabled: bool) -> Response:
        """Enable or disable a card. The body is not read."""
        merchant = await self._authenticator.access(request)
        account_id = read_uuid(request.path_parameters["paymentAccountId"], MISSING)
        async with self._database.acquire() as connection:
            is_known = await update_account_disabled(
                connection, merchant_id=merchant.merchant_id, account_id=account_id, disabled=disabled
            )
        if not is_known:
            raise NotFound(MISSING)
        return Response()


def build_account(account: StoredCardView) -> AccountAnswer:
    """Build a stored card for its merchant."""
    return AccountAnswer(
        paymentAccountId=str(account.account_id),
        number=account.masked_number,
        brand=account.brand,
        expirationMonth=account.expiry_month,
        expirationYear=account.expiry_year % 100,
        disabled=account.disabled,
    )
