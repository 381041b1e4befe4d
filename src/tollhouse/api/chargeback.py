"""`GET /chargeback/{chargebackId}/repaidLink`."""

from __future__ import annotations

from tollhouse.api.reading.access import RequestAuthenticator
from tollhouse.api.reading.ids import read_id
from tollhouse.http.requests import Purpose, Request
from tollhouse.http.responses import Response
from tollhouse.http.routes import Calls, call
from tollhouse.links.dependencies import LinkDependencies
from tollhouse.links.repay import NO_CHARGEBACK, find_repaid_link
from tollhouse.wire.answers import RepaidLinkAnswer


class ChargebackCalls(Calls):
    """Links to repay chargebacks."""

    def __init__(self, links: LinkDependencies, authenticator: RequestAuthenticator) -> None:
        self._links = links
        self._authenticator = authenticator

    @call(
        "GET /chargeback/{chargebackId}/repaidLink",
        "Create a link to repay a chargeback",
        Purpose.SELLS,
        answer=RepaidLinkAnswer,
    )
    async def get_repaid_link(self, request: Request) -> Response:
        """Return the URL of a page on which your consumer pays the charged-back amount again.

        It can be paid once and keeps its URL; repeated calls return the same one. An expired page is renewed for
        another 30 days. After it is paid, `url` is empty and `code` is 1.
        """
        merchant = await self._authenticator.access(request)
        body = await find_repaid_link(
            self._links,
            merchant_id=merchant.merchant_id,
            transaction_id=read_id(request.path_parameters["chargebackId"], NO_CHARGEBACK),
            request_id=request.request_id,
        )
        return Response(body)
