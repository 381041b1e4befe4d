-- Tables of: billing, catalog, merchants, payments.
--
-- Events are numbered, claimed, delivered and logged here. Order of locks: merchants' counters, deliveries by key, hosts by key;
-- a claim takes hosts and deliveries with SKIP LOCKED and waits for nobody.

-- name: select_unnumbered_exist()$
-- Whether there is anything to number.
select exists (select from event where sequence is null);

-- name: lock_numbering()$
-- Become the only sequencer until the transaction ends; false where another one is at it.
select pg_try_advisory_xact_lock(hashtextextended('tollhouse number events', 0));

-- name: select_unnumbered_events(batch)
-- The oldest events without a number, without their bodies.
select merchant_id, event_id, coalesce(-subscription_id, payment_id) as thread, url, format::text, created_at
from event
where sequence is null
order by event_id
limit :batch;

-- name: update_event_sequences(merchant_ids, event_ids, lasting_ids)!
-- Count the merchants' counters up, number the events in the order of their ids, and give them their lasting ids.
with given as (
    select
        merchant_id, event_id, lasting_id,
        row_number() over (partition by merchant_id order by event_id) as rank,
        count(*) over (partition by merchant_id) as total
    from unnest(:merchant_ids::bigint[], :event_ids::bigint[], :lasting_ids::bigint[])
        as given (merchant_id, event_id, lasting_id)
), counted as (
    insert into event_counter as c (merchant_id, last_sequence)
    select distinct merchant_id, total from given order by merchant_id
    on conflict (merchant_id) do update set last_sequence = c.last_sequence + excluded.last_sequence
    returning merchant_id, last_sequence
)
update event e
set sequence = counted.last_sequence - given.total + given.rank, event_id = given.lasting_id
from given join counted using (merchant_id)
where e.merchant_id = given.merchant_id and e.event_id = given.event_id;

-- name: skip_event_sequences()$
-- Move the counter of every merchant, also of one without events, to the next multiple of 10^9.
with moved as (
    insert into event_counter as c (merchant_id, last_sequence)
    select merchant_id, 1000000000 from merchant order by merchant_id
    on conflict (merchant_id) do update set last_sequence = (c.last_sequence / 1000000000 + 1) * 1000000000
    returning merchant_id
)
select count(*)::integer from moved;

-- name: lock_unfinished_threads(merchant_ids, threads)
-- Which threads have an event under way. Their deliveries are locked: whoever finishes one of them now waits for us and then
-- sees what we hold back behind it, or we wait and see that it is finished.
select d.merchant_id, d.thread
from unnest(:merchant_ids::bigint[], :threads::bigint[]) as given (merchant_id, thread)
join delivery d using (merchant_id, thread)
where d.state in ('held', 'waiting', 'leased')
order by d.merchant_id, d.event_id, d.number
for no key update of d;

-- name: upsert_hosts(merchant_ids, origins)
-- Find or create hosts, and have a claim look at them.
insert into delivery_host as h (merchant_id, origin, ready_at)
select given.merchant_id, given.origin, now() + m.clock_offset
from unnest(:merchant_ids::bigint[], :origins::text[]) as given (merchant_id, origin)
join merchant m using (merchant_id)
order by given.merchant_id, given.origin
on conflict (merchant_id, origin)
    do update set ready_at = greatest(h.paused_until, least(h.ready_at, excluded.ready_at))
returning merchant_id, origin, host_id;

-- name: insert_deliveries(merchant_ids, event_ids, numbers, forms, host_ids, threads, urls, held, created_at)!
-- Put events on their way, or hold them back behind an earlier one of their thread.
insert into delivery (merchant_id, event_id, number, form, host_id, thread, url, state, due_at, created_at)
select
    given.merchant_id, given.event_id, given.number, given.form, given.host_id, given.thread, given.url,
    (case when given.held then 'held' else 'waiting' end)::delivery_state,
    case when not given.held then now() + m.clock_offset end,
    given.created_at
from unnest(
    :merchant_ids::bigint[], :event_ids::bigint[], :numbers::smallint[], :forms::delivery_form[], :host_ids::bigint[],
    :threads::bigint[], :urls::text[], :held::boolean[], :created_at::timestamptz[]
) as given (merchant_id, event_id, number, form, host_id, thread, url, held, created_at)
join merchant m using (merchant_id);

-- name: select_ready_exist()$
-- Whether a claim would find a host to look at.
select
    exists (select from delivery_host where ready_at <= now() and ready_at < 'infinity')
    or exists (
        select from merchant m join delivery_host h using (merchant_id)
        where m.clock_offset > '0' and h.ready_at <= now() + m.clock_offset and h.ready_at < 'infinity'
    );

-- name: select_next_delivery(merchant_id, with_failing)$
-- When the next attempt at a merchant's callbacks falls due, in its time. An endpoint that is left alone for a while has none before.
select min(greatest(h.paused_until, d.due_at))
from delivery_host h
cross join lateral (
    select due_at
    from delivery d
    where d.merchant_id = h.merchant_id and d.host_id = h.host_id and d.state = 'waiting'
    order by due_at
    limit 1
) d
where h.merchant_id = :merchant_id and (:with_failing or h.failures = 0);

-- name: select_deliveries_busy(merchant_id, due_by, made_by, with_failing)$
-- Whether any of a merchant's events that were there at a moment waits for its number, or any of its callbacks was due then and still
-- is, or is on its way; without those to endpoints that fail, if these are not to count.
select
    exists (select from event where sequence is null and merchant_id = :merchant_id and created_at <= :made_by)
    or exists (
        select
        from delivery d
        join delivery_host h using (merchant_id, host_id)
        where d.merchant_id = :merchant_id and d.state = 'leased' and d.created_at <= :made_by
            and (:with_failing or h.failures = 0)
    )
    or exists (
        select
        from delivery_host h
        join delivery d using (merchant_id, host_id)
        where h.merchant_id = :merchant_id and h.paused_until <= :due_by and d.state = 'waiting'
            and d.due_at <= :due_by and d.created_at <= :made_by and (:with_failing or h.failures = 0)
    );

-- name: lock_ready_hosts(after, merchants, hosts_of_merchant, takes_slow, full_merchants, strained_merchants, before_all)
-- Give turns to merchants with a host that is ready, in the order of their ids after a given one and then from the first; in each
-- turn take the hosts that have been ready longest. Left out are merchants that have no place left, and of strained merchants, which
-- have none left for unproven hosts, these. Hosts that another claim holds come back as not locked.
with recursive turn (merchant_id, wrapped, place) as (
    select :after::bigint, false, 0
    union all
    select next.merchant_id, next.wrapped, turn.place + 1
    from turn
    cross join lateral (
        select candidate.merchant_id, candidate.wrapped
        from (
            (
                select h.merchant_id, turn.wrapped
                from delivery_host h
                where h.merchant_id > turn.merchant_id and h.ready_at <= now() and h.ready_at < 'infinity'
                    and (:takes_slow::boolean or not h.slow) and h.merchant_id <> all(:full_merchants::bigint[])
                    and (h.acknowledged and not h.slow or h.merchant_id <> all(:strained_merchants::bigint[]))
                order by h.merchant_id
                limit 1
            )
            union all
            (
                select m.merchant_id, turn.wrapped
                from merchant m
                where m.clock_offset > '0' and m.merchant_id > turn.merchant_id
                    and m.merchant_id <> all(:full_merchants::bigint[])
                    and exists (
                        select from delivery_host h
                        where h.merchant_id = m.merchant_id and h.ready_at <= now() + m.clock_offset
                            and h.ready_at < 'infinity' and (:takes_slow::boolean or not h.slow)
                            and (h.acknowledged and not h.slow or m.merchant_id <> all(:strained_merchants::bigint[]))
                    )
                order by m.merchant_id
                limit 1
            )
            union all
            select :before_all::bigint, true
            where not turn.wrapped
        ) candidate
        order by candidate.wrapped, candidate.merchant_id
        limit 1
    ) next
    where turn.place < :merchants::integer and (not next.wrapped or next.merchant_id <= :after::bigint)
), candidate as materialized (
    select turn.merchant_id, host.host_id, turn.place, host.rank
    from turn
    join merchant m using (merchant_id)
    cross join lateral (
        select ready.host_id, row_number() over (order by ready.ready_at, ready.host_id) as rank
        from (
            select h.host_id, h.ready_at
            from delivery_host h
            where h.merchant_id = turn.merchant_id and h.ready_at <= now() + m.clock_offset and h.ready_at < 'infinity'
                and (:takes_slow::boolean or not h.slow)
                and (h.acknowledged and not h.slow or h.merchant_id <> all(:strained_merchants::bigint[]))
            order by h.ready_at
            limit :hosts_of_merchant
        ) ready
    ) host
    where turn.place > 0 and turn.merchant_id <> all(:full_merchants::bigint[])
), locked as (
    select h.merchant_id, h.host_id
    from candidate join delivery_host h using (merchant_id, host_id)
    for no key update of h skip locked
)
select c.merchant_id, c.host_id, c.place, c.rank, locked.host_id is not null as is_locked
from candidate c left join locked using (merchant_id, host_id)
order by c.rank, c.place;

-- name: release_expired_leases(merchant_ids, host_ids)!
-- Take back what was leased by a process that is gone or too slow.
update delivery d
set state = 'waiting', lease_until = null
from (
    select e.merchant_id, e.event_id, e.number
    from unnest(:merchant_ids::bigint[], :host_ids::bigint[]) as given (merchant_id, host_id)
    join delivery e using (merchant_id, host_id)
    where e.state = 'leased' and e.lease_until <= now()
    for no key update of e skip locked
) expired
where d.merchant_id = expired.merchant_id and d.event_id = expired.event_id and d.number = expired.number;

-- name: lease_deliveries(probe_after, slots, depth, merchant_ids, host_ids, places, ranks, merchant_rooms, unproven_rooms, quick_room, slow_room, lease_for, worker_id)
-- Lease what locked hosts have room for, oldest first, dealt out among their free slots; a lease is one slot. Slots are granted
-- by turns: first one of each merchant, then a second one. A host that never acknowledged, or was slow, is unproven, and gets one
-- delivery in each slot: it would not come to the others in time, and they would be given back.
with host as materialized (
    select
        h.merchant_id, h.host_id, h.slow, given.place, given.rank, given.merchant_room, given.unproven_room,
        h.slow or not h.acknowledged as unproven,
        now() + m.clock_offset as merchant_now,
        case when h.failures >= :probe_after or not h.acknowledged then 1 else coalesce(h.slots, :slots) end
            - busy.slots as free,
        case when h.failures > 0 or h.slow or not h.acknowledged then 1 else :depth::integer end as depth
    from unnest(
        :merchant_ids::bigint[], :host_ids::bigint[], :places::bigint[], :ranks::bigint[], :merchant_rooms::bigint[],
        :unproven_rooms::bigint[]
    ) as given (merchant_id, host_id, place, rank, merchant_room, unproven_room)
    join delivery_host h using (merchant_id, host_id)
    join merchant m using (merchant_id)
    cross join lateral (
        select count(distinct d.lease)::integer as slots
        from delivery d
        where d.merchant_id = h.merchant_id and d.host_id = h.host_id and d.state = 'leased'
    ) busy
), wanted as (
    select
        host.*, due.nth,
        row_number() over (partition by host.merchant_id order by due.nth, host.rank) as of_merchant,
        row_number() over (partition by host.merchant_id, host.unproven order by due.nth, host.rank) as of_kind
    from host
    cross join lateral (
        select row_number() over () as nth
        from (
            select
            from delivery d
            where d.merchant_id = host.merchant_id and d.host_id = host.host_id
                and d.state = 'waiting' and d.due_at <= host.merchant_now
            order by d.due_at
            limit greatest(host.free, 0)
        ) waiting
    ) due
), dealt as (
    select *, row_number() over (partition by slow order by of_merchant, place) as of_all
    from wanted
    where of_merchant <= merchant_room and (not unproven or of_kind <= unproven_room)
), granted as materialized (
    select merchant_id, host_id, merchant_now, depth, count(*) as runs
    from dealt
    where of_all <= case when slow then :slow_room::bigint else :quick_room::bigint end
    group by merchant_id, host_id, merchant_now, depth
), picked as materialized (
    select
        g.merchant_id, g.host_id, g.merchant_now, d.event_id, d.number,
        (row_number() over (partition by g.merchant_id, g.host_id order by d.due_at, d.event_id) - 1) % g.runs as slot
    from granted g
    cross join lateral (
        select d.event_id, d.number, d.due_at
        from delivery d
        where d.merchant_id = g.merchant_id and d.host_id = g.host_id and d.state = 'waiting' and d.due_at <= g.merchant_now
        order by d.due_at, d.event_id
        limit g.runs * g.depth
        for no key update skip locked
    ) d
), lease as materialized (
    select merchant_id, host_id, slot, nextval('delivery_lease') as lease
    from (select distinct merchant_id, host_id, slot from picked order by merchant_id, host_id, slot) as taken
), leased as (
    update delivery d
    set state = 'leased', lease = lease.lease, lease_until = now() + :lease_for::interval, worker_id = :worker_id
    from picked join lease using (merchant_id, host_id, slot)
    where d.merchant_id = picked.merchant_id and d.event_id = picked.event_id and d.number = picked.number
    returning
        d.merchant_id, d.event_id, d.number, d.form, d.host_id, d.lease, d.url, d.attempts, d.due_at,
        coalesce(picked.merchant_now - d.first_attempt_at, '0') as age
)
select
    l.merchant_id, l.event_id, l.number, l.form::text, l.host_id, l.lease, l.url,
    case l.form when 'legacy' then e.legacy_xml else e.body end as body,
    e.sequence, e.kind, e.payment_id, e.transaction_id, e.subscription_id, e.status, e.request_id, l.attempts, l.age,
    h.slow or not h.acknowledged as unproven, h.slow
from leased l
join event e using (merchant_id, event_id)
join delivery_host h on h.merchant_id = l.merchant_id and h.host_id = l.host_id
order by l.lease, l.due_at, l.event_id;

-- name: update_claimed_hosts(probe_after, slots, merchant_ids, host_ids, served)!
-- Say when locked hosts are to be looked at again: when something is due and a slot is free, or a lease runs out. A host that
-- was served and has more goes to the end of its merchant's queue.
update delivery_host h
set ready_at = greatest(
    h.paused_until,
    case
        when busy.slots >= case when h.failures >= :probe_after or not h.acknowledged then 1 else coalesce(h.slots, :slots) end
        then busy.until + m.clock_offset
        else least(
            greatest(
                coalesce(waiting.due_at, 'infinity'),
                case when given.served then now() + m.clock_offset else '-infinity' end
            ),
            coalesce(busy.until + m.clock_offset, 'infinity')
        )
    end
)
from unnest(:merchant_ids::bigint[], :host_ids::bigint[], :served::boolean[]) as given (merchant_id, host_id, served)
join merchant m using (merchant_id)
cross join lateral (
    select count(distinct d.lease) as slots, min(d.lease_until) as until
    from delivery d
    where d.merchant_id = given.merchant_id and d.host_id = given.host_id and d.state = 'leased'
) busy
left join lateral (
    select d.due_at
    from delivery d
    where d.merchant_id = given.merchant_id and d.host_id = given.host_id and d.state = 'waiting'
    order by d.due_at
    limit 1
) waiting on true
where h.merchant_id = given.merchant_id and h.host_id = given.host_id;

-- name: lock_sibling_deliveries(merchant_ids, event_ids)!
-- Lock all unfinished deliveries of these events. Two recorders that finish the two forms of one event go one after the other, so
-- that the second sees what the first wrote, and frees the next event. A statement of its own: the next one has to see it.
select
from (
    select distinct merchant_id, event_id
    from unnest(:merchant_ids::bigint[], :event_ids::bigint[]) as given (merchant_id, event_id)
) given
join delivery d using (merchant_id, event_id)
where d.state in ('held', 'waiting', 'leased')
order by d.merchant_id, d.event_id, d.number
for no key update of d;

-- name: finish_deliveries(merchant_ids, event_ids, numbers, leases, states, retry_in, started_at, durations_ms, addresses, statuses, errors, excerpts)
-- Write how leased deliveries went, those whose lease still holds, and log the attempts. What comes back was moved by us.
with given as (
    select * from unnest(
        :merchant_ids::bigint[], :event_ids::bigint[], :numbers::smallint[], :leases::bigint[], :states::delivery_state[],
        :retry_in::interval[], :started_at::timestamptz[], :durations_ms::integer[], :addresses::text[],
        :statuses::smallint[], :errors::text[], :excerpts::text[]
    ) as given (
        merchant_id, event_id, number, lease, state, retry_in, started_at, duration_ms, address, status, error, excerpt
    )
), locked as (
    select d.merchant_id, d.event_id, d.number, now() + m.clock_offset as merchant_now
    from given
    join delivery d using (merchant_id, event_id, number)
    join merchant m using (merchant_id)
    where d.state = 'leased' and d.lease = given.lease
    order by d.merchant_id, d.event_id, d.number
    for no key update of d
), moved as (
    update delivery d
    set
        state = given.state,
        lease_until = null,
        due_at = coalesce(locked.merchant_now + given.retry_in, d.due_at),
        attempts = d.attempts + (given.started_at is not null)::integer,
        first_attempt_at = coalesce(
            d.first_attempt_at, case when given.started_at is not null then locked.merchant_now end
        )
    from locked join given using (merchant_id, event_id, number)
    where d.merchant_id = locked.merchant_id and d.event_id = locked.event_id and d.number = locked.number
    returning d.merchant_id, d.event_id, d.number, d.host_id, d.thread, d.state, d.attempts, d.due_at
), logged as (
    insert into delivery_attempt (
        merchant_id, event_id, delivery_number, number, started_at, duration_ms, address, status, error, excerpt, next_at
    )
    select
        merchant_id, event_id, number, moved.attempts, given.started_at, given.duration_ms, given.address, given.status,
        given.error, given.excerpt, case when moved.state = 'waiting' then moved.due_at end
    from moved join given using (merchant_id, event_id, number)
    where given.started_at is not null
)
select merchant_id, event_id, number, host_id, thread from moved;

-- name: release_held(merchant_ids, threads)
-- Let the next event of threads go whose last one is finished, in all its forms. A statement of its own: it has to see what was
-- inserted while the one before it waited for a lock.
with next as (
    select d.merchant_id, d.event_id
    from unnest(:merchant_ids::bigint[], :threads::bigint[]) as given (merchant_id, thread)
    cross join lateral (
        select d.*
        from delivery d
        where d.merchant_id = given.merchant_id and d.thread = given.thread and d.state in ('held', 'waiting', 'leased')
        order by d.event_id
        limit 1
    ) d
)
update delivery d
set state = 'waiting', due_at = now() + m.clock_offset
from next join merchant m using (merchant_id)
where d.state = 'held' and d.merchant_id = next.merchant_id and d.event_id = next.event_id
returning d.merchant_id, d.host_id;

-- name: select_held(after_merchant_id, after_event_id, after_number, most)
-- Held deliveries after a position, each with whether it is an orphan: no earlier event of its thread is unfinished, so nobody
-- will free it. One statement, so one snapshot: what a recorder does in one transaction is seen whole or not at all.
select
    h.merchant_id, h.event_id, h.number, h.thread,
    not exists (
        select from delivery d
        where d.merchant_id = h.merchant_id and d.thread = h.thread and d.event_id < h.event_id
            and d.state in ('held', 'waiting', 'leased')
    ) as is_orphan
from (
    select merchant_id, event_id, number, thread
    from delivery
    where state = 'held'
        and (merchant_id, event_id, number) > (:after_merchant_id::bigint, :after_event_id::bigint, :after_number::smallint)
    order by merchant_id, event_id, number
    limit :most
) h
order by h.merchant_id, h.event_id, h.number;

-- name: update_finished_hosts(merchant_ids, host_ids, failures, acknowledged, woken, slow, asked_for, probe_after, longest_pause, first_pause)
-- Count failures in a row, pause an endpoint that fails or asks for it, and have a claim look at hosts with something to deliver.
-- Locked whatever `ready_at` says: a claim that is under way may be about to raise it, not having seen what we made due. Returned
-- is whether a host that failed has acknowledged again.
with given as (
    select * from unnest(
        :merchant_ids::bigint[], :host_ids::bigint[], :failures::integer[], :acknowledged::boolean[], :woken::boolean[],
        :slow::boolean[], :asked_for::interval[]
    ) as given (merchant_id, host_id, failures, acknowledged, woken, slow, asked_for)
), locked as (
    select
        h.merchant_id, h.host_id, h.paused_until, given.failures as fresh_failures, given.acknowledged,
        given.failures + case when given.acknowledged then 0 else h.failures end as failures,
        now() + m.clock_offset as merchant_now,
        greatest(h.asked_until, now() + m.clock_offset + given.asked_for) as asked_until,
        coalesce(given.slow, h.slow) as slow,
        given.acknowledged and h.failures >= :probe_after as is_recovered
    from given
    join delivery_host h using (merchant_id, host_id)
    join merchant m using (merchant_id)
    where given.woken or given.failures > 0 or h.failures > 0 or given.slow <> h.slow
        or (given.acknowledged and not h.acknowledged) or exists (
            select from delivery d
            where d.merchant_id = given.merchant_id and d.host_id = given.host_id and d.state = 'waiting'
        )
    order by h.merchant_id, h.host_id
    for no key update of h
), paused as (
    select
        *,
        greatest(
            case when asked_until > merchant_now then asked_until else '-infinity' end,
            case
                when fresh_failures > 0 and failures >= :probe_after then merchant_now + least(
                    :longest_pause::interval, :first_pause::interval * power(2, least(failures - :probe_after, 16))
                )
                when acknowledged then '-infinity'
                else paused_until
            end
        ) as pause
    from locked
)
update delivery_host h
set
    failures = paused.failures,
    acknowledged = h.acknowledged or paused.acknowledged,
    slow = paused.slow,
    asked_until = paused.asked_until,
    paused_until = paused.pause,
    ready_at = greatest(paused.pause, least(h.ready_at, paused.merchant_now))
from paused
where h.merchant_id = paused.merchant_id and h.host_id = paused.host_id
returning h.merchant_id, h.host_id, paused.is_recovered;

-- name: update_recovered_deliveries(merchant_ids, host_ids, most)!
-- Try at once what waits for endpoints that acknowledge again after they failed. What somebody else holds is left out: these rows
-- are locked after those of their hosts.
update delivery d
set due_at = waiting.merchant_now
from (
    select e.merchant_id, e.event_id, e.number, now() + m.clock_offset as merchant_now
    from unnest(:merchant_ids::bigint[], :host_ids::bigint[]) as given (merchant_id, host_id)
    join merchant m using (merchant_id)
    cross join lateral (
        select d.merchant_id, d.event_id, d.number
        from delivery d
        where d.merchant_id = given.merchant_id and d.host_id = given.host_id and d.state = 'waiting'
            and d.due_at > now() + m.clock_offset
        order by d.due_at, d.event_id
        limit :most
        for no key update skip locked
    ) e
) waiting
where d.merchant_id = waiting.merchant_id and d.event_id = waiting.event_id and d.number = waiting.number;

-- name: upsert_worker(worker_id)!
-- Say that a worker is there.
insert into delivery_worker (worker_id) values (:worker_id)
on conflict (worker_id) do update set seen_at = now();

-- name: delete_worker(worker_id)!
-- Say that a worker has gone.
delete from delivery_worker where worker_id = :worker_id;

-- name: delete_silent_workers(silent_for, most)$
-- Remove workers that have been silent, and return how many these were.
with silent as (
    select worker_id
    from delivery_worker
    where seen_at < now() - :silent_for::interval
    order by worker_id
    limit :most
    for update skip locked
), gone as (
    delete from delivery_worker w using silent where w.worker_id = silent.worker_id
    returning w.worker_id
)
select count(*) from gone;

-- name: release_stray_leases(most)
-- Take back what is leased by workers that are gone.
with stray as (
    select d.merchant_id, d.event_id, d.number
    from delivery d
    where d.state = 'leased' and d.worker_id is not null
        and not exists (select from delivery_worker w where w.worker_id = d.worker_id)
    limit :most
    for no key update skip locked
)
update delivery d
set state = 'waiting', lease_until = null
from stray
where d.merchant_id = stray.merchant_id and d.event_id = stray.event_id and d.number = stray.number
returning d.merchant_id, d.host_id;

-- name: release_leases(leases)
-- Give back what was leased, at the end of a worker.
with own as (
    select merchant_id, event_id, number
    from delivery
    where state = 'leased' and lease = any(:leases::bigint[])
    order by merchant_id, event_id, number
    for no key update
)
update delivery d
set state = 'waiting', lease_until = null
from own
where d.merchant_id = own.merchant_id and d.event_id = own.event_id and d.number = own.number
returning d.merchant_id, d.host_id;

-- name: select_outbox_state(most)^
-- How many events and deliveries are not finished, and the age of the oldest. Counted up to a number, past which the server's own
-- estimate of the two partial indexes is taken if it is higher.
with counted as (
    select
        (select count(*) from (select from event where sequence is null limit :most::integer) e)
        + (
            select count(*)
            from (select from delivery where state in ('held', 'waiting', 'leased') limit :most::integer) d
        ) as depth
)
select
    case
        when depth < :most then depth
        else greatest(depth, (
            select sum(greatest(reltuples, 0))::bigint
            from pg_class
            where oid in ('event_unnumbered'::regclass, 'delivery_unfinished'::regclass)
        ))
    end as depth,
    coalesce(now() - least(
        (select created_at from event where sequence is null order by event_id limit 1),
        (select created_at from delivery where state in ('held', 'waiting', 'leased') order by created_at limit 1)
    ), '0') as oldest_age
from counted;

-- name: select_payment_deliveries(merchant_id, payment_id, most)
-- The deliveries of one payment's events, oldest first.
select
    d.event_id, d.number, d.form::text, e.sequence, e.kind, e.status, e.payment_id, e.transaction_id, e.subscription_id,
    e.site_id, e.request_id, d.url, d.state::text, d.due_at, d.created_at,
    merchant_time_v1(d.merchant_id, d.created_at) as at,
    case d.form when 'legacy' then e.legacy_xml else e.body end as body
from event e
join delivery d using (merchant_id, event_id)
where e.merchant_id = :merchant_id and e.payment_id = :payment_id and e.sequence is not null
order by d.event_id, d.number
limit :most;

-- name: select_event_deliveries(merchant_id, event_id, most)
-- The deliveries of one event, oldest first.
select
    d.event_id, d.number, d.form::text, e.sequence, e.kind, e.status, e.payment_id, e.transaction_id, e.subscription_id,
    e.site_id, e.request_id, d.url, d.state::text, d.due_at, d.created_at,
    merchant_time_v1(d.merchant_id, d.created_at) as at,
    case d.form when 'legacy' then e.legacy_xml else e.body end as body
from delivery d
join event e using (merchant_id, event_id)
where d.merchant_id = :merchant_id and d.event_id = :event_id
order by d.number
limit :most;

-- name: select_recent_deliveries(merchant_id, before, most)
-- A merchant's deliveries, newest first, before an event.
select
    d.event_id, d.number, d.form::text, e.sequence, e.kind, e.status, e.payment_id, e.transaction_id, e.subscription_id,
    e.site_id, e.request_id, d.url, d.state::text, d.due_at, d.created_at,
    merchant_time_v1(d.merchant_id, d.created_at) as at,
    case d.form when 'legacy' then e.legacy_xml else e.body end as body
from delivery d
join event e using (merchant_id, event_id)
where d.merchant_id = :merchant_id and d.event_id < :before
order by d.event_id desc, d.number desc
limit :most;

-- name: select_attempts(merchant_id, event_ids)
-- The attempts at some events, oldest first.
select event_id, delivery_number, number, started_at, duration_ms, address, status, error, excerpt, next_at,
    merchant_time_v1(merchant_id, started_at) as at
from delivery_attempt
where merchant_id = :merchant_id and event_id = any(:event_ids::bigint[])
order by event_id, delivery_number, number;

-- name: insert_events!
-- Record what became final, in the transaction that made it so.
insert into event (
    merchant_id, payment_id, transaction_id, subscription_id, site_id, kind, status, url, format, body, legacy_xml,
    request_id
)
select * from unnest(
    :merchant_ids::bigint[], :payment_ids::bigint[], :transaction_ids::bigint[], :subscription_ids::bigint[],
    :site_ids::bigint[], :kinds::text[], :statuses::text[], :urls::text[], :formats::ipn_format[], :bodies::bytea[],
    :legacy_xmls::bytea[], :request_ids::text[]
)
on conflict (merchant_id, transaction_id, status) where transaction_id is not null do nothing;

-- name: lock_payments
-- Let nobody else finish a refund of these payments until the transaction ends.
select p.merchant_id, p.payment_id
from payment p
join unnest(:merchant_ids::bigint[], :payment_ids::bigint[]) as given (merchant_id, payment_id)
    using (merchant_id, payment_id)
order by p.merchant_id, p.payment_id
for no key update of p;

-- name: select_spent_payments
-- Return those of some payments of which nothing is left: all that was taken was refunded or charged back.
select t.merchant_id, t.payment_id
from (
    select distinct merchant_id, payment_id
    from unnest(:merchant_ids::bigint[], :payment_ids::bigint[]) as given (merchant_id, payment_id)
) given
join transaction t using (merchant_id, payment_id)
left join operation o on o.merchant_id = t.merchant_id and o.transaction_id = t.transaction_id
where t.status = 'success'
group by t.merchant_id, t.payment_id
having sum(case
    when t.mode in ('sale', 'capture') then t.amount_minor
    when t.mode = 'credit' then -t.amount_minor
    when o.dispute_step in ('first', 'second') then -o.moved_minor
    when o.dispute_step = 'won' then o.moved_minor
    else 0
end) <= 0;

-- name: select_extra_events
-- Return the kinds of events that sites ask for beside the usual ones.
select distinct s.merchant_id, s.site_id, kind
from unnest(:merchant_ids::bigint[], :site_ids::bigint[]) as given (merchant_id, site_id)
join site s using (merchant_id, site_id)
cross join lateral unnest(s.extra_events) as kind;

-- name: select_subscription_terms
-- Return what events about subscriptions need: what their first payments said, what their sites want, the last order that was paid,
-- and the code with which a renewal was declined last.
select s.merchant_id, s.subscription_id, p.metadata::text as metadata, p.consumer, p.ipn_url, site.ipn_format::text,
    site.subscription_events,
    coalesce(
        (
            select r.payment_id from renewal r
            where r.merchant_id = s.merchant_id and r.subscription_id = s.subscription_id and r.state = 'paid'
            order by r.period desc
            limit 1
        ),
        s.payment_id
    ) as last_payment_id,
    (
        select t.code from renewal r
        join transaction t on t.merchant_id = r.merchant_id and t.transaction_id = r.transaction_id
        where r.merchant_id = s.merchant_id and r.subscription_id = s.subscription_id and r.state = 'failed'
        order by r.period desc, r.try desc
        limit 1
    ) as last_decline
from unnest(:merchant_ids::bigint[], :subscription_ids::bigint[]) as given (merchant_id, subscription_id)
join subscription s using (merchant_id, subscription_id)
join payment p on p.merchant_id = s.merchant_id and p.payment_id = s.payment_id
join site on site.merchant_id = s.merchant_id and site.site_id = s.site_id;

-- name: select_transaction_status(merchant_id, transaction_id)$
-- How a merchant's transaction stands, or the event that has its id; nothing when there is neither.
select status::text from transaction where merchant_id = :merchant_id and transaction_id = :transaction_id
union all
select status from event where merchant_id = :merchant_id and transaction_id = :transaction_id
limit 1;

-- name: lock_transaction_event(merchant_id, transaction_id)^
-- The newest event of a transaction, locked against others who send it again, with the address that the payment has.
select e.event_id, e.format::text, p.ipn_url
from event e
join payment p using (merchant_id, payment_id)
where e.merchant_id = :merchant_id and e.transaction_id = :transaction_id and e.sequence is not null
order by e.event_id desc
limit 1
for no key update of e;

-- name: lock_delivery_event(merchant_id, event_id, number)^
-- Where and in which form an event was delivered, the event locked against others who send it again.
select d.url, d.form::text
from event e
join delivery d using (merchant_id, event_id)
where e.merchant_id = :merchant_id and e.event_id = :event_id and d.number = :number
for no key update of e;

-- name: select_last_delivery(merchant_id, event_id)$
-- The number of the last delivery of an event, 0 when there is none.
select coalesce(max(number), 0) from delivery where merchant_id = :merchant_id and event_id = :event_id;

-- name: insert_resend(merchant_id, event_id, number, form, host_id, url)!
-- Send an event once more, beside whatever else is under way.
insert into delivery (merchant_id, event_id, number, form, host_id, url, state, due_at, created_at)
select m.merchant_id, :event_id, :number, :form::text::delivery_form, :host_id, :url, 'waiting', now() + m.clock_offset, now()
from merchant m
where m.merchant_id = :merchant_id;

-- name: select_repeatable_events(merchant_id, after, until, since, before, origin, only_failed, looked_at, most)^
-- Look at some of a merchant's events after a number and up to another one, and return the ids of those to send again: the newest
-- delivery in one of its forms, at the endpoint if one is named, has failed, or was acknowledged. Returned too are the number of the
-- last event looked at, and whether there are more.
with looked as materialized (
    select event_id, sequence, merchant_time_v1(merchant_id, created_at) as at
    from event
    where merchant_id = :merchant_id and sequence > :after and sequence <= :until
    order by sequence
    limit :looked_at
), fitting as materialized (
    select l.event_id, l.sequence
    from looked l
    where (:since::timestamptz is null or l.at >= :since) and (:before::timestamptz is null or l.at < :before)
        and exists (
            select
            from (
                select distinct on (d.form) d.state
                from delivery d
                join delivery_host h using (merchant_id, host_id)
                where d.merchant_id = :merchant_id and d.event_id = l.event_id
                    and (:origin::text is null or h.origin = :origin)
                order by d.form, d.number desc
            ) newest
            where newest.state = 'failed' or (newest.state = 'delivered' and not :only_failed::boolean)
        )
    order by l.sequence
    limit :most::integer
), reached as (
    select case
        when (select count(*) from fitting) = :most::integer then (select max(sequence) from fitting)
        else coalesce((select max(sequence) from looked), :after::bigint)
    end as last
)
select
    array(select event_id from fitting order by event_id) as event_ids, reached.last,
    exists (
        select from event where merchant_id = :merchant_id and sequence > reached.last and sequence <= :until
    ) as has_more
from reached;

-- name: lock_events(merchant_id, event_ids)!
-- Lock events against others who send them again.
select event_id
from event
where merchant_id = :merchant_id and event_id = any(:event_ids::bigint[])
order by event_id
for no key update;

-- name: select_repeatable_deliveries(merchant_id, event_ids, origin, only_failed)
-- The newest delivery of locked events in each form, at the endpoint if one is named, where it has failed, or was acknowledged.
select
    e.event_id, newest.form::text, newest.url, coalesce(-e.subscription_id, e.payment_id) as thread,
    (select max(d.number) from delivery d where d.merchant_id = e.merchant_id and d.event_id = e.event_id) as last_number,
    now() as created_at
from event e
cross join lateral (
    select distinct on (d.form) d.form, d.state, d.url
    from delivery d
    join delivery_host h using (merchant_id, host_id)
    where d.merchant_id = e.merchant_id and d.event_id = e.event_id and (:origin::text is null or h.origin = :origin)
    order by d.form, d.number desc
) newest
where e.merchant_id = :merchant_id and e.event_id = any(:event_ids::bigint[])
    and (newest.state = 'failed' or (newest.state = 'delivered' and not :only_failed::boolean))
order by e.event_id, newest.form;

-- name: lock_unfinished_events(merchant_id, threads)
-- The events of a merchant's threads that are under way, their deliveries locked.
select d.thread, d.event_id
from delivery d
where d.merchant_id = :merchant_id and d.thread = any(:threads::bigint[]) and d.state in ('held', 'waiting', 'leased')
order by d.event_id, d.number
for no key update of d;

-- name: select_last_sequence(merchant_id)$
-- The number of a merchant's last event, 0 without any.
select coalesce(max(sequence), 0) from event where merchant_id = :merchant_id and sequence is not null;

-- name: select_order_records(merchant_id, payment_id, most)
-- The attempts at the callbacks of an order, newest first, and then the deliveries that had none yet.
select
    d.event_id, d.number as delivery_number, d.form::text, d.url, e.payment_id, e.transaction_id,
    case
        when a.number is null then d.state::text
        when a.error is null then 'delivered'
        when a.next_at is null then 'failed'
        else 'waiting'
    end as state,
    case d.form when 'legacy' then e.legacy_xml else e.body end as body,
    coalesce(a.number, 0) as number, merchant_time_v1(a.merchant_id, a.started_at) as started_at, a.duration_ms, a.status,
    a.error, a.excerpt
from event e
join delivery d using (merchant_id, event_id)
left join delivery_attempt a
    on a.merchant_id = d.merchant_id and a.event_id = d.event_id and a.delivery_number = d.number
where e.merchant_id = :merchant_id and e.payment_id = :payment_id and e.sequence is not null
order by a.started_at desc nulls last, d.event_id desc, d.number desc
limit :most;

-- name: select_transaction_record(merchant_id, transaction_id)^
-- The newest attempt at the callbacks of a transaction, or its newest delivery where there was none.
select
    d.event_id, d.number as delivery_number, d.form::text, d.url, e.payment_id, e.transaction_id,
    case
        when a.number is null then d.state::text
        when a.error is null then 'delivered'
        when a.next_at is null then 'failed'
        else 'waiting'
    end as state,
    case d.form when 'legacy' then e.legacy_xml else e.body end as body,
    coalesce(a.number, 0) as number, merchant_time_v1(a.merchant_id, a.started_at) as started_at, a.duration_ms, a.status,
    a.error, a.excerpt
from event e
join delivery d on d.merchant_id = e.merchant_id and d.event_id = e.event_id
left join delivery_attempt a
    on a.merchant_id = d.merchant_id and a.event_id = d.event_id and a.delivery_number = d.number
where e.merchant_id = :merchant_id and e.transaction_id = :transaction_id and e.sequence is not null
order by a.started_at desc nulls last, d.event_id desc, d.number desc
limit 1;

-- name: select_first_record(merchant_id, event_id, number)^
-- A delivery with its first attempt, and whether its endpoint is left alone for a while because it fails.
select
    d.event_id, d.number as delivery_number, d.form::text, d.url, e.payment_id, e.transaction_id,
    case
        when a.number is null then d.state::text
        when a.error is null then 'delivered'
        when a.next_at is null then 'failed'
        else 'waiting'
    end as state,
    case d.form when 'legacy' then e.legacy_xml else e.body end as body,
    coalesce(a.number, 0) as number, merchant_time_v1(a.merchant_id, a.started_at) as started_at, a.duration_ms, a.status,
    a.error, a.excerpt,
    h.paused_until > now() + m.clock_offset as is_paused
from delivery d
join event e using (merchant_id, event_id)
join delivery_host h using (merchant_id, host_id)
join merchant m using (merchant_id)
left join delivery_attempt a
    on a.merchant_id = d.merchant_id and a.event_id = d.event_id and a.delivery_number = d.number and a.number = 1
where d.merchant_id = :merchant_id and d.event_id = :event_id and d.number = :number;

-- name: select_order_exists(merchant_id, payment_id)$
-- Whether a merchant has an order.
select exists (select from payment where merchant_id = :merchant_id and payment_id = :payment_id);

-- name: select_events_after(merchant_id, after, most)
-- A merchant's events after a number, in their order, which has no gaps.
select event_id, sequence, kind, status, merchant_time_v1(merchant_id, created_at) as created_at, body
from event
where merchant_id = :merchant_id and sequence > :after
order by sequence
limit :most;
