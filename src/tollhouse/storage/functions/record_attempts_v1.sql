-- A charge by the payment at `place`, as counted by one kind of limit.
create type velocity_mark_v1 as (
    place integer, merchant_id bigint, kind velocity_kind, key text, transaction_id bigint
);

-- Earlier charges and declines of one kind.
create type velocity_count_v1 as (kind velocity_kind, attempts bigint, declines bigint);

-- payments: Count earlier attempts and declines within the window, up to `most`, then record the attempts whose place is fresh.
--
-- The marks of one batch count as if they had come one after the other.
create function record_attempts_v1(
    marks velocity_mark_v1[], fresh integer[], window_seconds double precision, most integer
)
returns table (place integer, counts velocity_count_v1[])
language plpgsql set enable_seqscan to off set enable_hashjoin to off set enable_mergejoin to off as $$
#variable_conflict use_column
begin
    return query
    select g.place, array_agg((g.kind, attempts.count + g.before, declines.count)::velocity_count_v1)
    from (
        select m.*, count(*) filter (where m.place = any(fresh)) over (
            partition by m.merchant_id, m.kind, m.key order by m.place
            rows between unbounded preceding and 1 preceding
        ) as before
        from unnest(marks) as m
    ) as g
    cross join lateral (
        select count(*) from (
            select from velocity_mark m
            where m.merchant_id = g.merchant_id and m.kind = g.kind and m.key = g.key and not m.is_decline
                and m.noted_at > now() - make_interval(secs => window_seconds)
                and m.transaction_id <> g.transaction_id
            limit most
        ) seen
    ) attempts
    cross join lateral (
        select count(*) from (
            select from velocity_mark m
            where m.merchant_id = g.merchant_id and m.kind = g.kind and m.key = g.key and m.is_decline
                and m.noted_at > now() - make_interval(secs => window_seconds)
            limit most
        ) seen
    ) declines
    group by g.place;

    insert into velocity_mark (merchant_id, kind, key, is_decline, transaction_id)
    select m.merchant_id, m.kind, m.key, false, m.transaction_id
    from unnest(marks) as m
    where m.place = any(fresh);
end
$$;
