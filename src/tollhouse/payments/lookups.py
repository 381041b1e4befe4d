"""Where an intent finds what it refers to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tollhouse.payments.routing import Routes

if TYPE_CHECKING:
    from tollhouse.catalog.access import Catalog
    from tollhouse.kernel.clock import DatabaseClock
    from tollhouse.storage.database import Database
    from tollhouse.vault.vault import Vault


@dataclass(frozen=True, slots=True)
class IntentLookups:
    """What is read, and with which keys, to build the intent of a payment."""

    database: Database
    clock: DatabaseClock
    vault: Vault
    catalog: Catalog
    routes: Routes
