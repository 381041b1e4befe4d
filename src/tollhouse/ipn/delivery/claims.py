"""Claim deliveries: turns go round the merchants, and in each merchant round its hosts. In the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from tollhouse.ipn.model import Delivery, Run
from tollhouse.ipn.store import HostKey, queries

if TYPE_CHECKING:
    from tollhouse.storage.database import PlainConnection

#: Hosts of one merchant that one claim looks at; the others have their turn in the next one.
MAX_HOSTS_OF_TURN = 16

#: Less than the id of any merchant.
BEFORE_ALL = -(2**63)


@dataclass(frozen=True, slots=True)
class Share:
    """Places that a merchant may still take, and how many of them on endpoints that are unproven."""

    all: int
    unproven: int


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a claim may take.

    `slots` of a host, `depth` deliveries for each, in all `quick_room` and `slow_room` slots, for `lease_for`. Turns
    begin after the merchant `after`. Of a merchant that is not in `shares` the whole `share` is free.
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
    """A leased delivery, what is known of its host, and the turn in which that was."""

    delivery: Delivery
    is_unproven: bool
    is_slow: bool
    place: int


@dataclass(frozen=True, slots=True)
class LeasedRuns:
    """What a claim took, and the last merchant that had a turn."""

    runs: list[Run]
    after: int


async def claim_runs(connection: PlainConnection, capacity: Capacity) -> LeasedRuns | None:
    """Lease what ready hosts have room for, or return None if all of them are held by somebody else."""
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
    """Put the deliveries of each lease together."""
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
    """Give back what these leases hold, and return the hosts that it is for."""
    return {HostKey(*row) async for row in queries.release_leases(connection, leases=leases)}
