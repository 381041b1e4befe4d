"""Who is calling: from an API key and an address to a merchant, or a refusal.

Merchants are remembered for a few seconds, so a key that was revoked dies within that time on every node. Unknown keys
are limited by the address that sends them; a known key is good from there all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tollhouse.kernel.addresses import group_address
from tollhouse.kernel.errors import Forbidden, NotAuthenticated
from tollhouse.kernel.limits import Window
from tollhouse.merchants.keys import ApiKeys
from tollhouse.merchants.model import Environment, Merchant, digest_api_key, is_address_allowed

if TYPE_CHECKING:
    from tollhouse.kernel.clock import DatabaseClock
    from tollhouse.storage.database import Database

MAX_KEY_LENGTH = 256
#: Unknown keys a minute from one address.
UNKNOWN_KEYS_BY_ADDRESS = 30


class MerchantDisabled(Forbidden):
    """The merchant may not sell, charge or capture any more."""

    def __init__(self) -> None:
        super().__init__("The merchant is disabled: it can read, refund, void and cancel, and no more be paid.")


class MerchantAuthenticator:
    """Knows the merchants by their keys."""

    def __init__(
        self,
        database: Database,
        clock: DatabaseClock,
        *,
        environment: Environment,
        unknown_keys_by_address: int = UNKNOWN_KEYS_BY_ADDRESS,
    ) -> None:
        self._clock = clock
        self._environment = environment
        self._keys = ApiKeys(database, clock)
        self._unknown = Window(unknown_keys_by_address)

    async def access_merchant(self, key: str | None, *, address: str, sells: bool = True) -> Merchant:
        """Return the merchant whose key this is. `sells` tells that the call sells, charges or captures.

        Raises NotAuthenticated when the key is missing, wrong, expired or of the other environment, RateLimited when it
        is wrong and the address has sent too many wrong ones, Forbidden when the address is off the
        key's list, and MerchantDisabled for a disabled merchant's call that sells.
        """
        if not key:
            raise NotAuthenticated("The Authorization header has to hold your API key.")
        merchant = await self._find(key, source=group_address(address))
        if merchant.key_expires_at is not None and merchant.key_expires_at <= self._clock.now():
            raise NotAuthenticated("The API key has expired.")
        if not is_address_allowed(merchant, address):
            raise Forbidden("The API key may not be used from this address.")
        if sells and not merchant.is_active:
            raise MerchantDisabled
        return merchant

    async def _find(self, key: str, *, source: str) -> Merchant:
        """Return the merchant of a key, or count that it has none. Raises NotAuthenticated and RateLimited."""
        if len(key) <= MAX_KEY_LENGTH:
            merchant = await self._keys.find(digest_api_key(key), is_suspect=self._unknown.is_spent(source))
            if merchant is not None:
                return merchant
        self._unknown.check(source)
        raise NotAuthenticated(self._explain(key))

    def _explain(self, key: str) -> str:
        for other in ("stage", "live"):
            if other != self._environment and key.startswith(f"th_{other}_"):
                return f"This is a key for {other}, and this gateway is {self._environment}."
        return "The API key is wrong."
