"""Authenticate merchants by their API key and their address."""

from __future__ import annotations

from collections.abc import Sequence

from tollhouse.http.requests import Purpose, Request
from tollhouse.kernel.addresses import Network, is_within, normalize_address
from tollhouse.kernel.errors import Forbidden, NotAuthenticated, RateLimited
from tollhouse.merchants.access import MerchantAuthenticator, MerchantDisabled
from tollhouse.merchants.model import Merchant


class RequestAuthenticator:
    """The authentication of requests by API key and address."""

    def __init__(
        self, merchant_authenticator: MerchantAuthenticator, *, trusted_proxies: Sequence[Network] = ()
    ) -> None:
        self._merchant_authenticator = merchant_authenticator
        self._trusted_proxies = tuple(trusted_proxies)

    async def access(self, request: Request) -> Merchant:
        """Return the calling merchant. Raises NotAuthenticated, RateLimited and Forbidden."""
        return await self.access_with(request, read_key(request))

    async def access_with(self, request: Request, key: str | None) -> Merchant:
        """Return the merchant of a key from another place. Raises NotAuthenticated, RateLimited and Forbidden."""
        sells = request.purpose is Purpose.SELLS
        return await self._merchant_authenticator.authenticate_merchant(
            key, address=self.address_of(request), sells=sells
        )

    async def recognise(self, request: Request) -> Merchant | None:
        """Return the merchant of an optional key; an unusable key is ignored.

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

    def address_of(self, request: Request) -> str:
        """Return the caller's address: the peer's, or behind trusted proxies the nearest other one.

        A proxy adds to the end: to the last header of that name, or as one more. What comes before may be forged.
        """
        address = normalize_address(request.peer)
        if not self._trusted_proxies:
            return address
        for hop in reversed(",".join(request.headers.get_all("x-forwarded-for")).split(",")):
            if not self._is_trusted(address):
                break
            address = normalize_address(hop.strip()) or address
        return address

    def comes_from_proxy(self, request: Request) -> bool:
        """Return whether the peer is a trusted proxy."""
        return self._is_trusted(normalize_address(request.peer))

    def _is_trusted(self, address: str) -> bool:
        return is_within(address, self._trusted_proxies)


def read_key(request: Request) -> str | None:
    """Return the API key: bare, as the public clients send it, or after `Bearer`."""
    value: str = request.headers.get("authorization").strip()
    return value[7:].strip() if value[:7].lower() == "bearer " else value or None


def find_request_id_faults(request: Request) -> dict[str, list[str]]:
    """Return the faults of the X-Request-ID, if one was sent."""
    fault = request.request_id_fault
    return {"X-Request-ID": [fault]} if fault else {}
