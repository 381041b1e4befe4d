"""Claim deliveries: turns go round the merchants, and in each merchant round its hosts. In the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from tollhouse.ipn.model import Delivery, Run
from tollhouse.ipn.store import HostKey, host_columns, queries

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


@dataclass(frozen=True, slots=True)
class Claim:
    """What a claim took, and the last merchant that had a turn."""

    runs: list[Run]
    after: int


async def select_ready_exist(connection: PlainConnection) -> bool:
    """Say whether a claim would find a host to look at."""
    return bool(await queries.select_ready_exist(connection))


async def claim_runs(connection: PlainConnection, capacity: Capacity) -> Claim | None:
    """Lease what ready hosts have room for, or return None if all of them are held by somebody else.

    The transaction should end soon: it holds the hosts.
    """
    rows = await _lock_hosts(connection, capacity)
    locked = [row for row in rows if row["is_locked"]]
    if not locked:
        return None if rows else Claim([], capacity.after)
    keys = host_columns([HostKey(row["merchant_id"], row["host_id"]) for row in locked])
    limits = {"slots": capacity.slots, "probe_after": capacity.probe_after}
    await queries.release_expired_leases(connection, **keys)
    shares = [capacity.shares.get(row["merchant_id"], capacity.share) for row in locked]
    leased = queries.lease_deliveries(
        connection,
        **keys,
        **limits,
        depth=capacity.depth,
        places=[row["place"] for row in locked],
        ranks=[row["rank"] for row in locked],
        merchant_rooms=[share.all for share in shares],
        unproven_rooms=[share.unproven for share in shares],
        quick_room=capacity.quick_room,
        slow_room=capacity.slow_room,
        lease_for=capacity.lease_for,
        worker_id=capacity.worker_id,
    )
    runs = _make_runs([dict(row) async for row in leased])
    served = {(run.merchant_id, run.host_id) for run in runs}
    await queries.update_claimed_hosts(
        connection, **keys, **limits, served=[(row["merchant_id"], row["host_id"]) in served for row in locked]
    )
    return Claim(runs, _last_served(locked, served) or capacity.after)


async def _lock_hosts(connection: PlainConnection, capacity: Capacity) -> list[Mapping[str, Any]]:
    rows = queries.lock_ready_hosts(
        connection,
        after=capacity.after,
        merchants=capacity.quick_room + capacity.slow_room,
        hosts_of_merchant=MAX_HOSTS_OF_TURN,
        takes_slow=capacity.slow_room > 0,
        full_merchants=[merchant_id for merchant_id, share in capacity.shares.items() if share.all <= 0],
        strained_merchants=[merchant_id for merchant_id, share in capacity.shares.items() if share.unproven <= 0],
        before_all=BEFORE_ALL,
    )
    return [row async for row in rows]


def _last_served(rows: Sequence[Mapping[str, Any]], served: set[tuple[int, int]]) -> int | None:
    """Return the merchant with the last turn among those that were served."""
    turns = [(row["place"], row["merchant_id"]) for row in rows if (row["merchant_id"], row["host_id"]) in served]
    return max(turns)[1] if turns else None


def _make_runs(rows: Sequence[dict[str, Any]]) -> list[Run]:
    """Put the deliveries of each lease together."""
    runs = []
    for lease, group in groupby(rows, key=itemgetter("lease")):
        members = list(group)
        kinds = [(row.pop("unproven"), row.pop("slow")) for row in members]
        deliveries = tuple(Delivery(**row) for row in members)
        unproven, slow = kinds[0]
        first = deliveries[0]
        runs.append(Run(first.merchant_id, first.host_id, lease, deliveries, unproven=unproven, slow=slow))
    return runs


async def release_leases(connection: PlainConnection, leases: Sequence[int]) -> set[HostKey]:
    """Give back what these leases hold, and return the hosts that it is for."""
    return {HostKey(*row) async for row in queries.release_leases(connection, leases=leases)}
