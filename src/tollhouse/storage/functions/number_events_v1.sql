-- An event that has just been numbered.
create type numbered_event_v1 as (
    merchant_id bigint,
    event_id bigint,
    position bigint,
    thread bigint,
    url text,
    format ipn_format,
    created_at timestamptz,
    origin text
);

-- ipn: Number events, each with the origin of its URL, in the order of their positions, and create a delivery of each in each of its forms.
-- The first of a thread may be sent unless an earlier one is in progress; the others are held. Returns the number of numbered events:
-- zero if another sequencer is running.
create function number_events_v1(positions bigint[], origins text[])
returns integer language plpgsql
    set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
    counted integer;
    numbered numbered_event_v1[];
    busy_merchant_ids bigint[];
    busy_threads bigint[];
begin
    if not pg_try_advisory_xact_lock(hashtextextended('tollhouse number events', 0)) then
        return 0;
    end if;
    -- A separate statement after the lock sees the rows that the previous sequencer committed.
    with taken as materialized (
        select
            e.merchant_id, e.position, coalesce(-e.subscription_id, e.payment_id) as thread, e.url, e.format, e.created_at,
            given.origin,
            row_number() over (order by e.position) - 1 as place,
            row_number() over (partition by e.merchant_id order by e.position) as rank,
            count(*) over (partition by e.merchant_id) as total
        from unnest(positions, origins) as given (position, origin)
        join unnumbered_event using (position)
        join event e using (position)
    ), reserved as materialized (
        select reserve_ids_v1('event', (select count(*)::integer from taken)) as first_id
    ), counter as (
        insert into event_counter as c (merchant_id, last_sequence)
        select distinct merchant_id, total from taken order by merchant_id
        on conflict (merchant_id) do update set last_sequence = c.last_sequence + excluded.last_sequence
        returning merchant_id, last_sequence
    ), placed as materialized (
        select
            taken.*, counter.last_sequence - taken.total + taken.rank as sequence,
            reserved.first_id + 100 * taken.place as event_id
        from taken join counter using (merchant_id) cross join reserved
    ), stored as (
        insert into event_number (position, merchant_id, sequence, event_id)
        select position, merchant_id, sequence, event_id from placed
    ), done as (
        delete from unnumbered_event u using placed where u.position = placed.position
    )
    select
        count(*)::integer,
        array_agg((merchant_id, event_id, position, thread, url, format, created_at, origin)::numbered_event_v1)
            filter (where url <> '')
    into counted, numbered
    from placed;
    if numbered is null then
        return counted;
    end if;
    -- Threads with an unfinished event. Their deliveries are locked: a recorder that finishes one of them waits for this function and
    -- then sees the events held behind it, or this function waits and sees that it is finished.
    with unfinished as materialized (
        select d.*
        from (select distinct merchant_id, thread from unnest(numbered) where thread is not null) given
        cross join lateral (
            select d.merchant_id, d.event_id, d.number
            from delivery d
            where d.thread = given.thread and d.merchant_id = given.merchant_id and d.state in ('held', 'waiting', 'leased')
            offset 0
        ) d
    )
    select array_agg(merchant_id), array_agg(thread)
    into busy_merchant_ids, busy_threads
    from (
        select d.merchant_id, d.thread
        from unfinished join delivery d using (merchant_id, event_id, number)
        where d.state < 'delivered'
        order by d.merchant_id + 0, d.event_id, d.number
        for no key update of d
    ) busy;
    insert into delivery (merchant_id, event_id, position, number, form, host_id, thread, url, state, due_at, created_at)
    select
        n.merchant_id, n.event_id, n.position, f.number, f.form::delivery_form, h.host_id, n.thread, n.url,
        (case when n.is_held then 'held' else 'waiting' end)::delivery_state,
        case when not n.is_held then now() + m.clock_offset end,
        n.created_at
    from (
        select
            one.*,
            one.thread is not null and (
                busy.thread is not null
                or row_number() over (partition by one.merchant_id, one.thread order by one.event_id) > 1
            ) as is_held
        from unnest(numbered) one
        left join (
            select distinct * from unnest(busy_merchant_ids, busy_threads) as busy (merchant_id, thread)
        ) busy using (merchant_id, thread)
    ) n
    join upsert_delivery_hosts_v1(
        array(select merchant_id from unnest(numbered)), array(select origin from unnest(numbered))
    ) h using (merchant_id, origin)
    join merchant m using (merchant_id)
    cross join lateral unnest(
        case n.format when 'both' then '{json,legacy}' else array[n.format::text] end
    ) with ordinality as f (form, number);
    return counted;
end
$$;
