-- A host locked by a claim: `place` is the turn of its merchant, `rank` its position among the hosts of the merchant.
create type locked_host_v1 as (
    merchant_id bigint,
    host_id bigint,
    place integer,
    rank bigint
);

-- A leased delivery, with the data to post it, the state of its host, and its turn. A row without an event means that others hold all
-- ready hosts.
create type claimed_delivery_v1 as (
    merchant_id bigint,
    event_id bigint,
    number smallint,
    form text,
    host_id bigint,
    lease bigint,
    url text,
    body bytea,
    sequence bigint,
    kind text,
    payment_id bigint,
    transaction_id bigint,
    subscription_id bigint,
    status text,
    request_id text,
    attempts smallint,
    age interval,
    is_unproven boolean,
    is_slow boolean,
    place integer
);

-- ipn: Lease due deliveries. Merchants with a ready host get turns, in the order of their IDs after a given one and then from the first;
-- each turn takes the hosts that have been ready longest. Merchants without a free slot get none, nor do unproven hosts of
-- merchants without a free slot for these. A lease is one slot of a host: the due deliveries of a host are divided among its free
-- slots, oldest first. Slots are granted in turns: first one to each merchant, then a second one. A host that
-- never acknowledged, or was slow, is unproven, and gets one delivery in each slot: it would not reach the others in time, and they
-- would be returned. `share_merchants` are merchants with deliveries in progress; all others have all their slots.
create function claim_deliveries_v1(
    after_merchant_id bigint, most_merchants integer, hosts_of_merchant integer, room_of_merchant bigint,
    unproven_of_merchant bigint, share_merchants bigint[], share_rooms bigint[], share_unproven bigint[], quick_room bigint,
    slow_room bigint, slots_of_host integer, depth_of_run integer, probe_after integer, lease_for interval, claimed_by bigint
) returns setof claimed_delivery_v1 language plpgsql
    set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
    before_all constant bigint := -9223372036854775808;
    takes_slow constant boolean := slow_room > 0;
    full_merchants bigint[];
    strained_merchants bigint[];
    has_candidates boolean;
    hosts locked_host_v1[];
begin
    -- At most polls nothing is ready.
    if not exists (select from delivery_host where ready_at <= now() and ready_at < 'infinity') and not exists (
        select from merchant m join delivery_host h using (merchant_id)
        where m.clock_offset > '0' and h.ready_at <= now() + m.clock_offset and h.ready_at < 'infinity'
    ) then
        return;
    end if;
    select
        coalesce(array_agg(merchant_id) filter (where room <= 0), '{}'),
        coalesce(array_agg(merchant_id) filter (where unproven <= 0), '{}')
    into full_merchants, strained_merchants
    from unnest(share_merchants, share_rooms, share_unproven) as share (merchant_id, room, unproven);
    with recursive turn (merchant_id, wrapped, place) as (
        select after_merchant_id, false, 0
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
                        and (takes_slow or not h.slow) and h.merchant_id <> all(full_merchants)
                        and (h.acknowledged and not h.slow or h.merchant_id <> all(strained_merchants))
                    order by h.merchant_id
                    limit 1
                )
                union all
                (
                    select m.merchant_id, turn.wrapped
                    from merchant m
                    where m.clock_offset > '0' and m.merchant_id > turn.merchant_id
                        and m.merchant_id <> all(full_merchants)
                        and exists (
                            select from delivery_host h
                            where h.merchant_id = m.merchant_id and h.ready_at <= now() + m.clock_offset
                                and h.ready_at < 'infinity' and (takes_slow or not h.slow)
                                and (h.acknowledged and not h.slow or m.merchant_id <> all(strained_merchants))
                        )
                    order by m.merchant_id
                    limit 1
                )
                union all
                select before_all, true
                where not turn.wrapped
            ) candidate
            order by candidate.wrapped, candidate.merchant_id
            limit 1
        ) next
        where turn.place < most_merchants and (not next.wrapped or next.merchant_id <= after_merchant_id)
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
                    and (takes_slow or not h.slow)
                    and (h.acknowledged and not h.slow or h.merchant_id <> all(strained_merchants))
                order by h.ready_at
                limit hosts_of_merchant
            ) ready
        ) host
        where turn.place > 0 and turn.merchant_id <> all(full_merchants)
    ), locked as (
        select h.merchant_id, h.host_id
        from candidate join delivery_host h using (merchant_id, host_id)
        for no key update of h skip locked
    )
    select
        count(*) > 0,
        array_agg((c.merchant_id, c.host_id, c.place, c.rank)::locked_host_v1 order by c.merchant_id, c.host_id)
            filter (where locked.host_id is not null)
    into has_candidates, hosts
    from candidate c left join locked using (merchant_id, host_id);
    if hosts is null then
        return query select (null::claimed_delivery_v1).* where has_candidates;
        return;
    end if;
    -- Release deliveries that were leased by a process that ended or is too slow.
    update delivery d
    set state = 'waiting', lease_until = null
    from (
        select e.merchant_id, e.event_id, e.number
        from unnest(hosts) given
        join delivery e using (merchant_id, host_id)
        where e.state = 'leased' and e.lease_until <= now()
        for no key update of e skip locked
    ) expired
    where d.merchant_id = expired.merchant_id and d.event_id = expired.event_id and d.number = expired.number;
    return query
    with given as materialized (
        select
            locked.*, now() + m.clock_offset as merchant_now, coalesce(share.room, room_of_merchant) as merchant_room,
            coalesce(share.unproven, unproven_of_merchant) as unproven_room
        from unnest(hosts) locked
        join merchant m using (merchant_id)
        left join unnest(share_merchants, share_rooms, share_unproven) as share (merchant_id, room, unproven)
            using (merchant_id)
    ), host as materialized (
        select
            h.merchant_id, h.host_id, h.slow, given.place, given.rank, given.merchant_room, given.unproven_room,
            h.slow or not h.acknowledged as unproven, given.merchant_now,
            case when h.failures >= probe_after or not h.acknowledged then 1 else coalesce(h.slots, slots_of_host) end
                - busy.slots as free,
            case when h.failures > 0 or h.slow or not h.acknowledged then 1 else depth_of_run end as depth
        from given
        join delivery_host h using (merchant_id, host_id)
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
        select merchant_id, host_id, unproven, slow, place, merchant_now, depth, count(*) as runs
        from dealt
        where of_all <= case when slow then slow_room else quick_room end
        group by merchant_id, host_id, unproven, slow, place, merchant_now, depth
    ), picked as materialized (
        select
            g.merchant_id, g.host_id, g.unproven, g.slow, g.place, g.merchant_now, d.event_id, d.number,
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
    ), run as materialized (
        select grouped.*, nextval('delivery_lease') as lease
        from (
            select
                merchant_id, unproven, slow, place, merchant_now, array_agg(event_id) as event_ids,
                array_agg(number) as numbers
            from picked
            group by merchant_id, host_id, unproven, slow, place, merchant_now, slot
            order by merchant_id, host_id, slot
        ) grouped
    ), dealt_out as materialized (
        select run.*, one.event_id, one.number
        from run cross join lateral unnest(run.event_ids, run.numbers) as one (event_id, number)
    ), leased as (
        update delivery d
        set state = 'leased', lease = one.lease, lease_until = now() + lease_for, worker_id = claimed_by
        from dealt_out one
        where d.merchant_id = one.merchant_id and d.event_id = one.event_id and d.number = one.number
        returning
            d.merchant_id, d.event_id, d.position, d.number, d.form, d.host_id, d.lease, d.url, d.attempts, d.due_at,
            coalesce(one.merchant_now - d.first_attempt_at, '0') as age, one.unproven, one.slow, one.place
    )
    select
        l.merchant_id, l.event_id, l.number, l.form::text, l.host_id, l.lease, l.url,
        case l.form when 'legacy' then e.legacy_xml else e.body end,
        n.sequence, e.kind, e.payment_id, e.transaction_id, e.subscription_id, e.status, e.request_id, l.attempts, l.age,
        l.unproven, l.slow, l.place
    from leased l join event e using (position) join event_number n using (position)
    order by l.lease, l.due_at, l.event_id;
    -- Set the next claim of the hosts: when a delivery is due and a slot is free, or a lease expires. A host that was
    -- served and has more goes to the end of its merchant's queue.
    with given as materialized (
        select locked.merchant_id, locked.host_id, m.clock_offset
        from unnest(hosts) locked join merchant m using (merchant_id)
    ), state as materialized (
        select given.*, busy.slots, busy.until, busy.is_served, waiting.due_at
        from given
        cross join lateral (
            select
                count(distinct d.lease) as slots, min(d.lease_until) as until,
                -- Leases of this transaction.
                bool_or(d.lease_until = now() + lease_for) as is_served
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
    )
    update delivery_host h
    set ready_at = greatest(
        h.paused_until,
        case
            when state.slots >= case when h.failures >= probe_after or not h.acknowledged then 1 else coalesce(h.slots, slots_of_host) end
            then state.until + state.clock_offset
            else least(
                greatest(
                    coalesce(state.due_at, 'infinity'),
                    case when state.is_served then now() + state.clock_offset else '-infinity' end
                ),
                coalesce(state.until + state.clock_offset, 'infinity')
            )
        end
    )
    from state
    where h.merchant_id = state.merchant_id and h.host_id = state.host_id;
end
$$;
