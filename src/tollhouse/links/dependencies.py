"""The dependencies of this package's functions."""

from __future__ import annotations

from dataclasses import dataclass

from tollhouse.payments.dependencies import ChargeDependencies, IntentLookups, PageLinks, ReturnLinks
from tollhouse.storage.database import Database
from tollhouse.storage.ids import NumberBlocks


@dataclass(frozen=True, slots=True)
class LinkDependencies:
    """The dependencies of creating links and of charging payments made on them."""

    lookups: IntentLookups
    charging: ChargeDependencies

    @property
    def database(self) -> Database:
        """The database of links."""
        return self.lookups.database

    @property
    def numbers(self) -> NumberBlocks:
        """The source of payment numbers."""
        return self.charging.numbers

    @property
    def returns(self) -> ReturnLinks:
        """The URLs to which a page returns."""
        return self.charging.authentication.returns

    @property
    def pages(self) -> PageLinks:
        """The base URL of the pages."""
        return self.returns.pages
