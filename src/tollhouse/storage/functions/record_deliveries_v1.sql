-- The outcome of a leased delivery, written if the lease still holds. `started_at` is null for one that is returned without an attempt.
create type delivery_outcome_v1 as (
    merchant_id bigint,
    event_id bigint,
    number smallint,
    lease bigint,
    state delivery_state,
    retry_in interval,
    asked_for interval,
    started_at timestamptz,
    duration_ms integer,
    address text,
    status smallint,
    error text,
    excerpt text
);

-- ipn: Write the outcomes of deliveries whose lease still holds, and log the attempts; release held events, and update the hosts.
-- Returns the keys of the written outcomes.
create function record_deliveries_v1(
    outcomes delivery_outcome_v1[], slow_after_ms integer, probe_after integer, first_pause interval, longest_pause interval,
    brought_forward integer
) returns table (merchant_id bigint, event_id bigint, number smallint) language plpgsql
    set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
    written delivery_outcome_v1[];
    host_ids bigint[];
    finished_merchant_ids bigint[];
    finished_threads bigint[];
    released_merchant_ids bigint[];
    released_host_ids bigint[];
    changes host_change_v1[];
begin
    -- All unfinished deliveries of these events. Two recorders that finish the two forms of one event go one after the other, so that
    -- the second sees the rows of the first, and releases the next event. This is a separate statement because the next one has to see it.
    perform
    from (select distinct merchant_id, event_id from unnest(outcomes)) given
    join delivery d using (merchant_id, event_id)
    where d.state < 'delivered'
    order by d.merchant_id + 0, d.event_id, d.number
    for no key update of d;
    with given as materialized (
        select o.*, now() + m.clock_offset as merchant_now
        from unnest(outcomes) with ordinality as o (
            merchant_id, event_id, number, lease, state, retry_in, asked_for, started_at, duration_ms, address, status, error,
            excerpt, place
        )
        join merchant m using (merchant_id)
    ), moved as (
        update delivery d
        set
            state = given.state,
            lease_until = null,
            due_at = coalesce(given.merchant_now + given.retry_in, d.due_at),
            attempts = d.attempts + (given.started_at is not null)::integer,
            first_attempt_at = coalesce(
                d.first_attempt_at, case when given.started_at is not null then given.merchant_now end
            )
        from given
        where d.merchant_id = given.merchant_id and d.event_id = given.event_id and d.number = given.number
            -- Only leased deliveries have this time. A search by their state would read all leased deliveries.
            and d.lease_until is not null and d.lease = given.lease
        returning given.*, d.host_id, d.thread, d.attempts, d.due_at
    ), logged as (
        insert into delivery_attempt (
            merchant_id, event_id, delivery_number, number, started_at, duration_ms, address, status, error, excerpt, next_at
        )
        select
            merchant_id, event_id, number, attempts, started_at, duration_ms, address, status, error, excerpt,
            case when state = 'waiting' then due_at end
        from moved
        where started_at is not null
    )
    select
        array_agg(
            (
                merchant_id, event_id, number, lease, state, retry_in, asked_for, started_at, duration_ms, address, status, error,
                null
            )::delivery_outcome_v1
            order by place
        ),
        array_agg(host_id order by place),
        array_agg(merchant_id) filter (where state <> 'waiting' and thread is not null),
        array_agg(thread) filter (where state <> 'waiting' and thread is not null)
    into written, host_ids, finished_merchant_ids, finished_threads
    from moved;
    if written is null then
        return;
    end if;
    select array_agg(r.merchant_id), array_agg(r.host_id)
    into released_merchant_ids, released_host_ids
    from release_held_v1(finished_merchant_ids, finished_threads) r;
    with attempted as (
        select
            o.merchant_id, o.host_id, o.place, o.state, o.asked_for, o.started_at is null as is_untried,
            o.error is not null as has_failed, o.duration_ms >= slow_after_ms as is_slow,
            max(o.place) filter (where o.started_at is not null and o.error is null)
                over (partition by o.merchant_id, o.host_id) as acknowledged_at
        from rows from (unnest(written), unnest(host_ids)) with ordinality as o (
            merchant_id, event_id, number, lease, state, retry_in, asked_for, started_at, duration_ms, address, status, error,
            excerpt, host_id, place
        )
    ), summed as (
        select
            merchant_id, host_id,
            (count(*) filter (where has_failed and place > coalesce(acknowledged_at, 0)))::integer as failures,
            max(acknowledged_at) is not null as acknowledged,
            bool_or(state = 'waiting') as woken,
            (array_agg(is_slow order by place desc) filter (where not is_untried))[1] as slow,
            max(asked_for) as asked_for
        from attempted
        group by merchant_id, host_id
    ), released as (
        select distinct merchant_id, host_id, true as woken
        from unnest(released_merchant_ids, released_host_ids) as given (merchant_id, host_id)
    )
    select array_agg(
        (
            merchant_id, host_id, coalesce(s.failures, 0), coalesce(s.acknowledged, false),
            coalesce(s.woken, false) or coalesce(r.woken, false), s.slow, s.asked_for
        )::host_change_v1
    )
    into changes
    from summed s full join released r using (merchant_id, host_id);
    perform update_hosts_v1(changes, probe_after, first_pause, longest_pause, brought_forward);
    return query select w.merchant_id, w.event_id, w.number from unnest(written) w;
end
$$;
