"""Who calls, and under which request id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar import Request

from tollhouse.api.envelope import find_request_id_fault, sent_request_id_of
from tollhouse.api.purposes import Purpose, purpose_of
from tollhouse.api.straight import Call
from tollhouse.kernel.addresses import is_within, normalize_address
from tollhouse.kernel.errors import Forbidden, NotAuthenticated, RateLimited
from tollhouse.merchants.access import MerchantDisabled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tollhouse.kernel.addresses import Network
    from tollhouse.merchants.access import MerchantAuthenticator
    from tollhouse.merchants.model import Merchant

AnyRequest = Request[Any, Any, Any]
#: What the readers of this package read: the framework's request, or a call that came the straight way.
Readable = AnyRequest | Call


class RequestAuthenticator:
    """Lets merchants in by their API key and their address."""

    def __init__(self, doorman: MerchantAuthenticator, *, trusted_proxies: Sequence[Network] = ()) -> None:
        self._doorman = doorman
        self._trusted_proxies = tuple(trusted_proxies)

    async def access(self, request: Readable) -> Merchant:
        """Return the merchant who calls. Raises NotAuthenticated, RateLimited and Forbidden."""
        return await self.access_with(request, read_key(request))

    async def access_with(self, request: Readable, key: str | None) -> Merchant:
        """Return the merchant whose key was sent elsewhere. Raises NotAuthenticated, RateLimited and Forbidden."""
        sells = purpose_of(request.scope) is Purpose.SELLS
        return await self._doorman.access_merchant(key, address=self.address_of(request), sells=sells)

    async def recognise(self, request: Readable) -> Merchant | None:
        """Return the merchant whose key was sent, where a key is not needed; one that may not be used is ignored.

        Raises MerchantDisabled.
        """
        if read_key(request) is None:
            return None
        try:
            return await self.access(request)
        except MerchantDisabled:
            raise
        except (NotAuthenticated, Forbidden, RateLimited):
            return None

    def address_of(self, request: Readable) -> str:
        """Return the caller's address: the peer's, or behind trusted proxies the nearest that is none of them.

        A proxy adds to the end: to the last header of that name, or as one more. What comes before may be forged.
        """
        address = normalize_address(request.client.host if request.client else "")
        if not self._trusted_proxies:
            return address
        for hop in reversed(",".join(request.headers.getall("x-forwarded-for", [])).split(",")):
            if not self._is_trusted(address):
                break
            address = normalize_address(hop.strip()) or address
        return address

    def comes_from_proxy(self, request: Readable) -> bool:
        """Tell whether a trusted proxy is at the other end of the connection."""
        return self._is_trusted(normalize_address(request.client.host if request.client else ""))

    def _is_trusted(self, address: str) -> bool:
        return is_within(address, self._trusted_proxies)


def read_key(request: Readable) -> str | None:
    """Return the API key: bare, as the public clients send it, or after `Bearer`."""
    value = request.headers.get("authorization", "").strip()
    return value[7:].strip() if value[:7].lower() == "bearer " else value or None


def find_request_id_faults(request: Readable) -> dict[str, list[str]]:
    """Say what is wrong with the X-Request-ID that was sent, if one was."""
    sent = sent_request_id_of(request.scope)
    fault = None if sent is None else find_request_id_fault(sent)
    return {"X-Request-ID": [fault]} if fault else {}
