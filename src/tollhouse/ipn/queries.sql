-- Tables of: billing, catalog, merchants, payments.
--
-- Events are numbered, claimed, delivered and logged here. Order of locks: merchants' counters, deliveries by key, hosts by key;
-- a claim locks hosts and deliveries with SKIP LOCKED and never waits.

-- name: select_unnumbered_events(batch)
-- Return the oldest events without a number, with their URLs. Here and below, a join would read all events if its plan was made for an
-- empty table.
select position, (select e.url from event e where e.position = u.position)
from unnumbered_event u
order by position
limit :batch;

-- name: number_events(positions, origins)$
-- Number events and insert their deliveries; return 0 if another sequencer runs.
select number_events_v1(:positions::bigint[], :origins::text[]);

-- name: skip_event_sequences()$
-- Set the counter of every merchant, also of those without events, to the next multiple of 10^9.
with moved as (
    insert into event_counter as c (merchant_id, last_sequence)
    select merchant_id, 1000000000 from merchant order by merchant_id
    on conflict (merchant_id) do update set last_sequence = (c.last_sequence / 1000000000 + 1) * 1000000000
    returning merchant_id
)
select count(*)::integer from moved;

-- name: upsert_hosts(merchant_ids, origins)
-- Find or create hosts, and mark them for the next claim.
select merchant_id, origin, host_id from upsert_delivery_hosts_v1(:merchant_ids::bigint[], :origins::text[]);

-- name: insert_deliveries(merchant_ids, event_ids, positions, numbers, forms, host_ids, threads, urls, held, created_at)!
-- Insert deliveries of events; hold those behind an earlier event of their thread.
insert into delivery (merchant_id, event_id, position, number, form, host_id, thread, url, state, due_at, created_at)
select
    given.merchant_id, given.event_id, given.position, given.number, given.form, given.host_id, given.thread, given.url,
    (case when given.held then 'held' else 'waiting' end)::delivery_state,
    case when not given.held then now() + m.clock_offset end,
    given.created_at
from unnest(
    :merchant_ids::bigint[], :event_ids::bigint[], :positions::bigint[], :numbers::smallint[], :forms::delivery_form[],
    :host_ids::bigint[], :threads::bigint[], :urls::text[], :held::boolean[], :created_at::timestamptz[]
) as given (merchant_id, event_id, position, number, form, host_id, thread, url, held, created_at)
join merchant m using (merchant_id);

-- name: select_next_delivery(merchant_id, with_failing)$
-- Return the merchant time of a merchant's next due attempt. A paused endpoint has none before its pause ends.
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
-- Return whether any event of a merchant that existed at a time is unnumbered, or any of its callbacks was due then and is still due
-- or being sent. Failing endpoints count only if included.
select
    exists (
        select from unnumbered_event u
        where (
            select e.merchant_id = :merchant_id and e.created_at <= :made_by from event e where e.position = u.position
        )
    )
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

-- name: claim_deliveries(after, merchants, hosts_of_merchant, room, unproven_room, share_merchants, share_rooms, share_unproven, quick_room, slow_room, slots, depth, probe_after, lease_for, worker_id)
-- Lease due deliveries of the hosts whose turn it is.
select * from claim_deliveries_v1(
    :after, :merchants, :hosts_of_merchant, :room, :unproven_room, :share_merchants::bigint[], :share_rooms::bigint[],
    :share_unproven::bigint[], :quick_room, :slow_room, :slots, :depth, :probe_after, :lease_for, :worker_id
);

-- name: record_deliveries(outcomes, slow_after_ms, probe_after, first_pause, longest_pause, brought_forward)
-- Write outcomes of deliveries with a valid lease, release held events, and count for the hosts; return the keys written.
select merchant_id, event_id, number
from record_deliveries_v1(
    :outcomes::delivery_outcome_v1[], :slow_after_ms, :probe_after, :first_pause, :longest_pause, :brought_forward
);

-- name: release_held(merchant_ids, threads)
-- Release the next event, in all its forms, of threads without an unfinished event.
select merchant_id, host_id from release_held_v1(:merchant_ids::bigint[], :threads::bigint[]);

-- name: select_held(after_merchant_id, after_event_id, after_number, max_rows)
-- Return held deliveries after a position, and whether each is an orphan: no earlier event of its thread is unfinished, so no outcome
-- will release it. One statement has one snapshot, so it sees either all or none of the changes of a recording transaction.
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
    limit :max_rows
) h
order by h.merchant_id, h.event_id, h.number;

-- name: wake_hosts(merchant_ids, host_ids)!
-- Mark hosts with new due deliveries for the next claim.
select update_hosts_v1(
    array(
        select (merchant_id, host_id, 0, false, true, null, null)::host_change_v1
        from (select distinct * from unnest(:merchant_ids::bigint[], :host_ids::bigint[]) as given (merchant_id, host_id)) given
    ),
    1, '0', '0', 0
);

-- name: upsert_worker(worker_id)!
-- Record a heartbeat of a worker.
insert into delivery_worker (worker_id) values (:worker_id)
on conflict (worker_id) do update set seen_at = now();

-- name: delete_worker(worker_id)!
-- Delete a worker that stops.
delete from delivery_worker where worker_id = :worker_id;

-- name: delete_silent_workers(silent_for, max_rows)$
-- Delete workers without a recent heartbeat, and return their number.
with silent as (
    select worker_id
    from delivery_worker
    where seen_at < now() - :silent_for::interval
    order by worker_id
    limit :max_rows
    for update skip locked
), gone as (
    delete from delivery_worker w using silent where w.worker_id = silent.worker_id
    returning w.worker_id
)
select count(*) from gone;

-- name: release_stray_leases(max_rows)
-- Release leases of deleted workers.
with stray as (
    select d.merchant_id, d.event_id, d.number
    from delivery d
    where d.state = 'leased' and d.worker_id is not null
        and not exists (select from delivery_worker w where w.worker_id = d.worker_id)
    limit :max_rows
    for no key update skip locked
)
update delivery d
set state = 'waiting', lease_until = null
from stray
where d.merchant_id = stray.merchant_id and d.event_id = stray.event_id and d.number = stray.number
returning d.merchant_id, d.host_id;

-- name: release_leases(leases)
-- Release leases of a worker that stops.
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

-- name: select_outbox_state(max_rows)^
-- Return the number of unfinished events and deliveries and the age of the oldest. Above a maximum the number is the server's
-- estimate from the two partial indexes, if that is higher.
with counted as (
    select
        (select count(*) from (select from unnumbered_event limit :max_rows::integer) e)
        + (
            select count(*)
            from (select from delivery where state in ('held', 'waiting', 'leased') limit :max_rows::integer) d
        ) as depth
)
select
    case
        when depth < :max_rows then depth
        else greatest(depth, (
            select sum(greatest(reltuples, 0))::bigint
            from pg_class
            where oid in ('unnumbered_event_pkey'::regclass, 'delivery_unfinished'::regclass)
        ))
    end as depth,
    coalesce(now() - least(
        (select e.created_at from event e where e.position = (select min(position) from unnumbered_event)),
        (select created_at from delivery where state in ('held', 'waiting', 'leased') order by created_at limit 1)
    ), '0') as oldest_age
from counted;

-- name: select_payment_deliveries(merchant_id, payment_id, max_rows)
-- Return the deliveries of one payment's events, oldest first.
select
    d.event_id, d.number, d.form::text, e.sequence, e.kind, e.status, e.payment_id, e.transaction_id, e.subscription_id,
    e.site_id, e.request_id, d.url, d.state::text, d.due_at, d.created_at,
    merchant_time_v1(d.merchant_id, d.created_at) as at,
    case d.form when 'legacy' then e.legacy_xml else e.body end as body
from numbered_event e
join delivery d using (merchant_id, event_id)
where e.merchant_id = :merchant_id and e.payment_id = :payment_id
order by d.event_id, d.number
limit :max_rows;

-- name: select_event_deliveries(merchant_id, event_id, max_rows)
-- Return the deliveries of one event, oldest first.
select
    d.event_id, d.number, d.form::text, e.sequence, e.kind, e.status, e.payment_id, e.transaction_id, e.subscription_id,
    e.site_id, e.request_id, d.url, d.state::text, d.due_at, d.created_at,
    merchant_time_v1(d.merchant_id, d.created_at) as at,
    case d.form when 'legacy' then e.legacy_xml else e.body end as body
from delivery d
join numbered_event e using (merchant_id, event_id, position)
where d.merchant_id = :merchant_id and d.event_id = :event_id
order by d.number
limit :max_rows;

-- name: select_recent_deliveries(merchant_id, before, max_rows)
-- Return a merchant's deliveries before an event, newest first.
select
    d.event_id, d.number, d.form::text, e.sequence, e.kind, e.status, e.payment_id, e.transaction_id, e.subscription_id,
    e.site_id, e.request_id, d.url, d.state::text, d.due_at, d.created_at,
    merchant_time_v1(d.merchant_id, d.created_at) as at,
    case d.form when 'legacy' then e.legacy_xml else e.body end as body
from delivery d
join numbered_event e using (merchant_id, event_id, position)
where d.merchant_id = :merchant_id and d.event_id < :before
order by d.event_id desc, d.number desc
limit :max_rows;

-- name: select_attempts(merchant_id, event_ids)
-- Return the delivery attempts of some events, oldest first.
select event_id, delivery_number, number, started_at, duration_ms, address, status, error, excerpt, next_at,
    merchant_time_v1(merchant_id, started_at) as at
from delivery_attempt
where merchant_id = :merchant_id and event_id = any(:event_ids::bigint[])
order by event_id, delivery_number, number;

-- name: insert_events!
-- Record events, in the database transaction that causes them.
select record_events_v1(:events::event_v1[]);

-- name: select_subscription_terms
-- Return the facts for events about subscriptions: from their first payments, their sites, the last paid order, and the code of the
-- last declined renewal.
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
-- Return the status of a merchant's transaction, or of the event with its ID; no row if there is neither.
select status::text from transaction where merchant_id = :merchant_id and transaction_id = :transaction_id
union all
select status from event where merchant_id = :merchant_id and transaction_id = :transaction_id
limit 1;

-- name: lock_transaction_event(merchant_id, transaction_id)^
-- Lock and return the newest event of a transaction, with the URL of its payment.
select n.event_id, n.position, e.format::text, p.ipn_url
from event_number n
join event e using (merchant_id, position)
join payment p using (merchant_id, payment_id)
where e.merchant_id = :merchant_id and e.transaction_id = :transaction_id
order by n.event_id desc
limit 1
for no key update of e;

-- name: lock_delivery_event(merchant_id, event_id, number)^
-- Lock an event, and return the URL and the form of one of its deliveries.
select d.position, d.url, d.form::text
from delivery d
join event e using (merchant_id, position)
where d.merchant_id = :merchant_id and d.event_id = :event_id and d.number = :number
for no key update of e;

-- name: select_last_delivery(merchant_id, event_id)$
-- Return the number of the last delivery of an event, or 0.
select coalesce(max(number), 0) from delivery where merchant_id = :merchant_id and event_id = :event_id;

-- name: insert_resend(merchant_id, event_id, position, number, form, host_id, url)!
-- Insert a further delivery of an event, outside of its thread.
insert into delivery (merchant_id, event_id, position, number, form, host_id, url, state, due_at, created_at)
select m.merchant_id, :event_id, :position, :number, :form::text::delivery_form, :host_id, :url, 'waiting', now() + m.clock_offset,
    now()
from merchant m
where m.merchant_id = :merchant_id;

-- name: select_repeatable_events(merchant_id, after, until, since, before, origin, only_failed, examined, max_rows)^
-- Examine a merchant's events in a range of numbers, and return the IDs of those to send again: the newest delivery in one of its
-- forms, at the endpoint if one is named, has failed or was acknowledged. Returns also the number of the last examined event, and
-- whether there are more.
with looked as materialized (
    select n.event_id, n.sequence, merchant_time_v1(n.merchant_id, e.created_at) as at
    from event_number n
    join event e using (position)
    where n.merchant_id = :merchant_id and n.sequence > :after and n.sequence <= :until
    order by n.sequence
    limit :examined
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
    limit :max_rows::integer
), reached as (
    select case
        when (select count(*) from fitting) = :max_rows::integer then (select max(sequence) from fitting)
        else coalesce((select max(sequence) from looked), :after::bigint)
    end as last
)
select
    array(select event_id from fitting order by event_id) as event_ids, reached.last,
    exists (
        select from event_number where merchant_id = :merchant_id and sequence > reached.last and sequence <= :until
    ) as has_more
from reached;

-- name: lock_events(merchant_id, event_ids)!
-- Lock events before they are sent again.
select
from event
where position in (select position from delivery where merchant_id = :merchant_id and event_id = any(:event_ids::bigint[]))
order by position
for no key update;

-- name: select_repeatable_deliveries(merchant_id, event_ids, origin, only_failed)
-- Return the newest delivery of locked events in each form, at the endpoint if one is named, if it has failed or was acknowledged.
select
    e.event_id, e.position, newest.form::text, newest.url, coalesce(-e.subscription_id, e.payment_id) as thread,
    (select max(d.number) from delivery d where d.merchant_id = e.merchant_id and d.event_id = e.event_id) as last_number,
    now() as created_at
from (
    select distinct d.merchant_id, d.event_id, position, e.subscription_id, e.payment_id
    from delivery d
    join event e using (position)
    where d.merchant_id = :merchant_id and d.event_id = any(:event_ids::bigint[])
) e
cross join lateral (
    select distinct on (d.form) d.form, d.state, d.url
    from delivery d
    join delivery_host h using (merchant_id, host_id)
    where d.merchant_id = e.merchant_id and d.event_id = e.event_id and (:origin::text is null or h.origin = :origin)
    order by d.form, d.number desc
) newest
where newest.state = 'failed' or (newest.state = 'delivered' and not :only_failed::boolean)
order by e.event_id, newest.form;

-- name: lock_unfinished_events(merchant_id, threads)
-- Return the unfinished events of a merchant's threads, and lock their deliveries.
select d.thread, d.event_id
from delivery d
where d.merchant_id = :merchant_id and d.thread = any(:threads::bigint[]) and d.state in ('held', 'waiting', 'leased')
order by d.event_id, d.number
for no key update of d;

-- name: select_last_sequence(merchant_id)$
-- Return the number of a merchant's last event, or 0.
select coalesce(max(sequence), 0) from event_number where merchant_id = :merchant_id;

-- name: select_order_records(merchant_id, payment_id, max_rows)
-- Return the delivery attempts of an order's callbacks, newest first, then the deliveries without one.
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
from numbered_event e
join delivery d using (merchant_id, event_id)
left join delivery_attempt a
    on a.merchant_id = d.merchant_id and a.event_id = d.event_id and a.delivery_number = d.number
where e.merchant_id = :merchant_id and e.payment_id = :payment_id
order by a.started_at desc nulls last, d.event_id desc, d.number desc
limit :max_rows;

-- name: select_transaction_record(merchant_id, transaction_id)^
-- Return the newest delivery attempt of a transaction's callbacks, or its newest delivery without one.
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
from numbered_event e
join delivery d on d.merchant_id = e.merchant_id and d.event_id = e.event_id
left join delivery_attempt a
    on a.merchant_id = d.merchant_id and a.event_id = d.event_id and a.delivery_number = d.number
where e.merchant_id = :merchant_id and e.transaction_id = :transaction_id
order by a.started_at desc nulls last, d.event_id desc, d.number desc
limit 1;

-- name: select_first_record(merchant_id, event_id, number)^
-- Return a delivery with its first attempt, and whether its endpoint is paused because it fails.
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
join numbered_event e using (merchant_id, event_id, position)
join delivery_host h using (merchant_id, host_id)
join merchant m using (merchant_id)
left join delivery_attempt a
    on a.merchant_id = d.merchant_id and a.event_id = d.event_id and a.delivery_number = d.number and a.number = 1
where d.merchant_id = :merchant_id and d.event_id = :event_id and d.number = :number;

-- name: select_order_exists(merchant_id, payment_id)$
-- Return whether a merchant has an order.
select exists (select from payment where merchant_id = :merchant_id and payment_id = :payment_id);

-- name: select_events_after(merchant_id, after, max_rows)
-- Return a merchant's events after a number, in order and without gaps.
select event_id, sequence, kind, status, merchant_time_v1(merchant_id, created_at) as created_at, body
from numbered_event
where merchant_id = :merchant_id and sequence > :after
order by sequence
limit :max_rows;
