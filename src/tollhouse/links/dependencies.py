"""What the verbs of this package need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tollhouse.payments.dependencies import ChargeDependencies, IntentLookups, PageLinks, ReturnLinks
    from tollhouse.storage.database import Database
    from tollhouse.storage.ids import NumberBlocks


@dataclass(frozen=True, slots=True)
class LinkDependencies:
    """Makes links to payment pages, and charges what is paid on them."""

    lookups: IntentLookups
    charging: ChargeDependencies

    @property
    def database(self) -> Database:
        """Where links are kept."""
        return self.lookups.database

    @property
    def numbers(self) -> NumberBlocks:
        """Numbers of purchases."""
        return self.charging.numbers

    @property
    def returns(self) -> ReturnLinks:
        """The ways back from a page."""
        return self.charging.authentication.returns

    @property
    def pages(self) -> PageLinks:
        """Where the pages are."""
        return self.returns.pages
