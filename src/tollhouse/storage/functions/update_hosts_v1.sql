-- The outcomes of a batch for a host: failures since the last acknowledgement, or all if there was none; whether it
-- acknowledged; whether the batch made a delivery due again; whether its last attempt was slow; the pause that it requests.
create type host_change_v1 as (
    merchant_id bigint,
    host_id bigint,
    failures integer,
    acknowledged boolean,
    woken boolean,
    slow boolean,
    asked_for interval
);

-- ipn: Count consecutive failures, pause an endpoint that fails or asks for it, and make hosts with due deliveries ready. Rows are locked
-- for every value of `ready_at`: a concurrent claim may be about to raise it, without having seen the deliveries made due here. When an
-- endpoint acknowledges again after failures, its waiting deliveries become due at once, except those locked by others: these rows are
-- locked after those of their hosts.
create function update_hosts_v1(
    changes host_change_v1[], probe_after integer, first_pause interval, longest_pause interval, brought_forward integer
) returns void language plpgsql
    set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
    recovered host_change_v1[];
begin
    with given as materialized (
        select change.*, now() + m.clock_offset as merchant_now
        from unnest(changes) change join merchant m using (merchant_id)
    ), locked as (
        select
            h.merchant_id, h.host_id, h.paused_until, given.failures as fresh_failures, given.acknowledged,
            given.failures + case when given.acknowledged then 0 else h.failures end as failures,
            given.merchant_now,
            greatest(h.asked_until, given.merchant_now + given.asked_for) as asked_until,
            coalesce(given.slow, h.slow) as slow,
            given.acknowledged and h.failures >= probe_after as is_recovered
        from given join delivery_host h using (merchant_id, host_id)
        where given.woken or given.failures > 0 or h.failures > 0 or given.slow <> h.slow
            or (given.acknowledged and not h.acknowledged)
            -- No EXISTS: the planner may evaluate it by reading all waiting deliveries.
            or (
                select true from delivery d
                where d.merchant_id = given.merchant_id and d.host_id = given.host_id and d.state = 'waiting'
                limit 1
            )
        order by h.merchant_id + 0, h.host_id
        for no key update of h
    ), paused as (
        select
            *,
            greatest(
                case when asked_until > merchant_now then asked_until else '-infinity' end,
                case
                    when fresh_failures > 0 and failures >= probe_after
                    then merchant_now + least(longest_pause, first_pause * power(2, least(failures - probe_after, 16)))
                    when acknowledged then '-infinity'
                    else paused_until
                end
            ) as pause
        from locked
    ), moved as (
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
        returning h.merchant_id, h.host_id, paused.is_recovered
    )
    select array_agg((merchant_id, host_id, 0, true, true, null, null)::host_change_v1) filter (where is_recovered)
    into recovered
    from moved;
    if recovered is null then
        return;
    end if;
    update delivery d
    set due_at = waiting.merchant_now
    from (
        select e.merchant_id, e.event_id, e.number, now() + m.clock_offset as merchant_now
        from unnest(recovered) given
        join merchant m using (merchant_id)
        cross join lateral (
            select d.merchant_id, d.event_id, d.number
            from delivery d
            where d.merchant_id = given.merchant_id and d.host_id = given.host_id and d.state = 'waiting'
                and d.due_at > now() + m.clock_offset
            order by d.due_at, d.event_id
            limit brought_forward
            for no key update skip locked
        ) e
    ) waiting
    where d.merchant_id = waiting.merchant_id and d.event_id = waiting.event_id and d.number = waiting.number;
end
$$;
