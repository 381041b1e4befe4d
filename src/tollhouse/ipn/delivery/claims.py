"""Lease deliveries in turns by merchant, and within a merchant by host. Runs in the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from tollhouse.ipn.model import Delivery, Run
from tollhouse.ipn.store import HostKey, queries
from tollhouse.storage.database import PlainConnection

#: Hosts of one merchant in one turn; the others follow in the next one.
MAX_HOSTS_OF_TURN = 16

#: A value below every merchant ID.
BEFORE_ALL = -(2**63)


@dataclass(frozen=True, slots=True)
class Share:
    """Free slots of a merchant, and those of them for unproven endpoints."""

    all: int
    unproven: int


@dataclass(frozen=True, slots=True)
class Capacity:
    """Limits of one claim.

    It leases `slots` runs of a host with up to `depth` deliveries each, in all `quick_room` and `slow_room` runs, for
    `lease_for`. Turns begin after the merchant `after`. A merchant without an entry in `shares` has the whole `share`.
    """

    slots: int
    depth: int
    quick_room: int
    slow_room: int
    lease_for: timedelta
    probe_after: int
    share: Share
    shares: Mapping[int, Share] = field(default_factory=dict)
    after: int = BEFORE_ALL
    worker_id: int | None = None


class ClaimedRow(NamedTuple):
    """A leased delivery with the state of its host, and the position of its turn."""

    delivery: Delivery
    is_unproven: bool
    is_slow: bool
    place: int


@dataclass(frozen=True, slots=True)
class LeasedRuns:
    """The leased runs, and the last merchant that had a turn."""

    runs: list[Run]
    after: int


async def claim_runs(connection: PlainConnection, capacity: Capacity) -> LeasedRuns | None:
    """Lease runs of ready hosts that have free slots; None if other workers hold locks on all of them."""
    shares = capacity.shares
    found = queries.claim_deliveries(
        connection,
        after=capacity.after,
        merchants=capacity.quick_room + capacity.slow_room,
        hosts_of_merchant=MAX_HOSTS_OF_TURN,
        room=capacity.share.all,
        unproven_room=capacity.share.unproven,
        share_merchants=list(shares),
        share_rooms=[share.all for share in shares.values()],
        share_unproven=[share.unproven for share in shares.values()],
        quick_room=capacity.quick_room,
        slow_room=capacity.slow_room,
        slots=capacity.slots,
        depth=capacity.depth,
        probe_after=capacity.probe_after,
        lease_for=capacity.lease_for,
        worker_id=capacity.worker_id,
    )
    records = [record async for record in found]
    if not records:
        return LeasedRuns([], capacity.after)
    if records[0]["event_id"] is None:
        return None
    rows = [ClaimedRow(Delivery(*record[:-3]), *record[-3:]) for record in records]
    last = max(rows, key=attrgetter("place"))
    return LeasedRuns(_make_runs(rows), last.delivery.merchant_id)


def _make_runs(rows: Sequence[ClaimedRow]) -> list[Run]:
    """Group deliveries by lease."""
    runs = []
    for lease, group in groupby(rows, key=lambda row: row.delivery.lease):
        members = list(group)
        first = members[0]
        deliveries = tuple(row.delivery for row in members)
        runs.append(
            Run(
                first.delivery.merchant_id,
                first.delivery.host_id,
                lease,
                deliveries,
                unproven=first.is_unproven,
                slow=first.is_slow,
            )
        )
    return runs


async def release_leases(connection: PlainConnection, leases: Sequence[int]) -> set[HostKey]:
    """Release leases, and return their hosts."""
    return {HostKey(*row) async for row in queries.release_leases(connection, leases=leases)}
