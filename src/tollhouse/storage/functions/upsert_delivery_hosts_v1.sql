-- ipn: Find or create hosts, and make them ready. The row is locked even if the host is ready already: a concurrent claim may be
-- about to raise `ready_at`, without having seen the deliveries made due here.
create function upsert_delivery_hosts_v1(merchant_ids bigint[], origins text[])
returns table (merchant_id bigint, origin text, host_id bigint) language sql as $$
    insert into delivery_host as h (merchant_id, origin, ready_at)
    select given.merchant_id, given.origin, now() + m.clock_offset
    from (select distinct * from unnest(merchant_ids, origins) as given (merchant_id, origin)) given
    join merchant m using (merchant_id)
    order by given.merchant_id, given.origin collate "C"
    on conflict (merchant_id, origin)
        do update set ready_at = greatest(h.paused_until, least(h.ready_at, excluded.ready_at))
    returning h.merchant_id, h.origin, h.host_id
$$;
