-- A consumer who takes part in the payment at `place` of a batch, from 1. Row types and functions with a version are never altered.
create type consumer_v1 as (
    place integer, merchant_id bigint, consumer_id text, external_id text, profile jsonb
);

-- consumers: Create consumers that do not exist yet; the others stay as they are. The row with the lowest place describes them.
--
-- The options keep the plan on indexes, even while the planner takes a table for empty: every function of a durable step has them.
create function insert_consumers_v1(consumers consumer_v1[]) returns void
language plpgsql set enable_seqscan to off set enable_hashjoin to off set enable_mergejoin to off as $$
begin
    insert into consumer (merchant_id, consumer_id, external_id, profile)
    select g.merchant_id, g.consumer_id, g.external_id, g.profile
    from unnest(consumers) as g
    where not exists (
        select from consumer c where c.merchant_id = g.merchant_id and c.consumer_id = g.consumer_id
    )
    order by g.merchant_id, g.consumer_id collate "C", g.place
    on conflict do nothing;
end
$$;
