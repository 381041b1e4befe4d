-- ipn: Release the next event of each thread whose last one is finished, in all its forms, and return the hosts of these events.
create function release_held_v1(merchant_ids bigint[], threads bigint[])
returns table (merchant_id bigint, host_id bigint) language sql
    set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
    with next as materialized (
        select d.merchant_id, d.event_id, now() + m.clock_offset as merchant_now
        from (select distinct * from unnest(merchant_ids, threads) as given (merchant_id, thread)) given
        join merchant m using (merchant_id)
        cross join lateral (
            select d.merchant_id, d.event_id
            from delivery d
            where d.merchant_id = given.merchant_id and d.thread = given.thread and d.state in ('held', 'waiting', 'leased')
            order by d.event_id
            limit 1
        ) d
    )
    update delivery d
    set state = 'waiting', due_at = next.merchant_now
    from next
    where d.state < 'waiting' and d.merchant_id = next.merchant_id and d.event_id = next.event_id
    returning d.merchant_id, d.host_id
$$;
