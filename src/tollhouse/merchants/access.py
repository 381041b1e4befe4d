"""API authentication: from an API key and an address to a merchant.

Merchants are cached for a few seconds, so a revoked key stops working within that time on every node. Unknown keys are
rate-limited by the address that sends them; a known key still works from that address.
"""

from __future__ import annotations

from tollhouse.kernel.addresses import group_address
from tollhouse.kernel.clock import DatabaseClock
from tollhouse.kernel.errors import Forbidden, NotAuthenticated
from tollhouse.kernel.limits import RateLimit
from tollhouse.merchants.keys import ApiKeys
from tollhouse.merchants.model import Environment, Merchant, digest_api_key, is_address_allowed
from tollhouse.storage.database import Database

MAX_KEY_LENGTH = 256
#: Unknown keys a minute for one address.
UNKNOWN_KEYS_BY_ADDRESS = 30


class MerchantDisabled(Forbidden):
    """The merchant may not sell, charge or capture any more."""

    def __init__(self) -> None:
        super().__init__("The merchant is disabled. It can read, refund, void and cancel, but not charge.")


class MerchantAuthenticator:
    """An authenticator of merchants by their API keys."""

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
        self._unknown = RateLimit(unknown_keys_by_address)

    async def authenticate_merchant(self, key: str | None, *, address: str, sells: bool = True) -> Merchant:
        """Return the merchant of an API key. `sells` is true for a call that sells, charges or captures.

        Raises NotAuthenticated if the key is missing, wrong, expired or of the other environment, RateLimited if the
        key is wrong and the address has sent too many wrong keys, Forbidden if the address is not on the key's list,
        and MerchantDisabled for a selling call of a disabled merchant.
        """
        if not key:
            raise NotAuthenticated("The API key is missing. Send it in the Authorization header.")
        merchant = await self._find(key, source=group_address(address))
        if merchant.key_expires_at is not None and merchant.key_expires_at <= self._clock.now():
            raise NotAuthenticated("The API key has expired. Use another key.")
        if not is_address_allowed(merchant, address):
            raise Forbidden("The API key may not be used from this address. Use an allowed address.")
        if sells and not merchant.is_active:
            raise MerchantDisabled
        return merchant

    async def _find(self, key: str, *, source: str) -> Merchant:
        """Return the merchant of a key, or count an unknown key. Raises NotAuthenticated and RateLimited."""
        if len(key) <= MAX_KEY_LENGTH:
            merchant = await self._keys.find(digest_api_key(key), is_suspect=self._unknown.is_spent(source))
            if merchant is not None:
                return merchant
        self._unknown.check(source)
        raise NotAuthenticated(self._explain(key))

    def _explain(self, key: str) -> str:
        for other in ("stage", "live"):
            if other != self._environment and key.startswith(f"th_{other}_"):
                return f"This API key is for {other}, but this gateway is {self._environment}. Use one of its own keys."
        return "The API key is wrong. Check it in the portal."
