"""Create SKUs under generated names, and change them."""

from __future__ import annotations

from dataclasses import replace

from tollhouse.catalog.model import Sku, SkuChange, SkuDraft, SkuEntry
from tollhouse.catalog.names import MAX_COUNT, build_name, build_stem, is_technical
from tollhouse.catalog.prices import find_kind_fault
from tollhouse.catalog.store import count_sku_stem, insert_named_sku, lock_sku_entry, select_site_entry, update_sku
from tollhouse.kernel.errors import InternalError, NotFound
from tollhouse.kernel.faults import Fault, RequestRejected, Subject, reject
from tollhouse.storage.database import PlainConnection

#: Consecutive names that may be in use, by SKUs with chosen names.
MAX_TAKEN_NAMES = 1_000
UNKNOWN_SITE = Fault(Subject.SITE, "is unknown")


async def create_sku(connection: PlainConnection, *, merchant_id: int, draft: SkuDraft) -> SkuEntry:
    """Create a SKU in the caller's database transaction, under the next free name of its site and currency.

    Two concurrent calls get different names, because the second waits for the count of the first.

    Raises RequestRejected.
    """
    site = await select_site_entry(connection, merchant_id=merchant_id, site_id=draft.sku.site_id)
    fault = find_kind_fault(draft.kind, draft.sku.prices)
    faults = ([] if site else [UNKNOWN_SITE]) + ([Fault(Subject.PRICES, fault)] if fault else [])
    if faults or site is None:
        raise RequestRejected(faults)
    stem = build_stem(site.site.name, draft.sku.prices[0].money.currency.code)
    for _ in range(MAX_TAKEN_NAMES):
        count = await count_sku_stem(connection, merchant_id=merchant_id, stem=stem)
        if count > MAX_COUNT:
            break
        named = replace(draft, sku=replace(draft.sku, name=build_name(stem, count)))
        entry = await insert_named_sku(connection, merchant_id=merchant_id, entry=named)
        if entry:
            return entry
    raise InternalError("No free name was found for a new SKU.")


async def change_sku(connection: PlainConnection, *, merchant_id: int, name: str, change: SkuChange) -> SkuEntry:
    """Update the given fields of a SKU in the caller's database transaction.

    Its name stays. Raises NotFound and RequestRejected.
    """
    entry = await lock_sku_entry(connection, merchant_id=merchant_id, name=name)
    if entry is None:
        raise NotFound("SKU not found.")
    if is_technical(name):
        raise reject(Subject.SKU, "is the technical SKU of a site, which cannot be changed")
    draft = merge(entry, change)
    faults: list[Fault] = []
    moved = change.site_id is not None and change.site_id != entry.sku.site_id
    if moved and not await select_site_entry(connection, merchant_id=merchant_id, site_id=draft.sku.site_id):
        faults.append(UNKNOWN_SITE)
    if fault := find_kind_fault(draft.kind, draft.sku.prices):
        faults.append(Fault(Subject.PRICES, fault))
    if faults:
        raise RequestRejected(faults)
    return await update_sku(connection, merchant_id=merchant_id, entry=draft)


def merge(entry: SkuEntry, change: SkuChange) -> SkuDraft:
    """Return a SKU with a change applied."""
    sku = entry.sku
    return SkuDraft(
        Sku(
            site_id=sku.site_id if change.site_id is None else change.site_id,
            name=sku.name,
            title=sku.title if change.title is None else change.title,
            prices=sku.prices if change.prices is None else change.prices,
        ),
        kind=change.kind or entry.kind,
        external_id=entry.external_id if change.external_id is None else change.external_id,
        is_shown=entry.is_shown if change.is_shown is None else change.is_shown,
    )
