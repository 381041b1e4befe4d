-- Tables of: catalog, merchants, payments, vault.
--
-- Order of locks: subscriptions by key, before the renewals that belong to them.

-- name: lock_subscriptions
-- Lock these subscriptions until the database transaction ends.
select s.merchant_id, s.subscription_id
from subscription s
join unnest(:merchant_ids::bigint[], :subscription_ids::bigint[]) as given (merchant_id, subscription_id)
    using (merchant_id, subscription_id)
order by s.merchant_id, s.subscription_id
for no key update of s;

-- name: select_cases
-- Return subscriptions with the facts for their rules.
select c.*
from subscription_case c
join unnest(:merchant_ids::bigint[], :subscription_ids::bigint[]) as given (merchant_id, subscription_id)
    using (merchant_id, subscription_id);

-- name: select_keys_on_account
-- List the running subscriptions on a stored card, except one.
select merchant_id, subscription_id
from subscription
where merchant_id = :merchant_id and account_id = :account_id and subscription_id <> :subscription_id
    and status in ('active', 'trial', 'past_due')
order by subscription_id
limit :max_rows;

-- name: select_keys_of_payments
-- List the running subscriptions that these payments started.
select merchant_id, subscription_id
from subscription
join unnest(:merchant_ids::bigint[], :payment_ids::bigint[]) as given (merchant_id, payment_id)
    using (merchant_id, payment_id)
where status in ('active', 'trial', 'past_due');

-- name: select_keys_on_card
-- List the running subscriptions, of any consumer, on the same card number as a stored card, except one.
select s.merchant_id, s.subscription_id
from account given
join account same on same.merchant_id = given.merchant_id and same.fingerprint = given.fingerprint
join subscription s on s.merchant_id = same.merchant_id and s.account_id = same.account_id
where given.merchant_id = :merchant_id and given.account_id = :account_id and s.subscription_id <> :subscription_id
    and s.status in ('active', 'trial', 'past_due')
order by s.subscription_id
limit :max_rows;

-- name: update_subscriptions!
-- Update subscriptions. A leased one loses its lease, unless the row keeps it.
select update_subscriptions_v1(:subscriptions::subscription_v1[]);

-- name: lease_due_subscriptions
-- Lease due subscriptions, oldest first: by real time those due for a charge, as many as the breaker allows, and those due for other
-- processing; and by merchant time those of merchants whose clock was advanced.
with charged as (
    select s.merchant_id, s.subscription_id
    from subscription s
    where s.due_at <= now() and (s.lease_until is null or s.lease_until <= now())
        and s.is_charge_next and (s.cancel_at is null or s.cancel_at > now())
        and exists (select from merchant m where m.merchant_id = s.merchant_id and m.state = 'active')
    order by s.due_at
    limit :charge_limit
    for no key update skip locked
),
uncharged as (
    select s.merchant_id, s.subscription_id
    from subscription s
    where s.due_at <= now() and (s.lease_until is null or s.lease_until <= now())
        and (not s.is_charge_next or s.cancel_at is not null)
        and (not s.is_charge_next or s.cancel_at <= now())
        and exists (
            select from merchant m
            where m.merchant_id = s.merchant_id
                and may_be_done_v1(s.is_charge_next, s.waits_for_account, s.cancel_at, now(), m.state = 'active')
        )
    order by s.due_at
    limit :limit
    for no key update skip locked
),
advanced as (
    select s.merchant_id, s.subscription_id
    from merchant m join subscription s using (merchant_id)
    where m.clock_offset > '0' and s.due_at > now() and s.due_at <= now() + m.clock_offset
        and (s.lease_until is null or s.lease_until <= now())
        and may_be_done_v1(
            s.is_charge_next, s.waits_for_account, s.cancel_at, now() + m.clock_offset, m.state = 'active'
        )
    order by s.due_at
    limit :limit
    for no key update of s skip locked
),
due as (
    select * from charged union all select * from uncharged union all select * from advanced
)
update subscription s
set lease = nextval('subscription_lease'), lease_until = now() + make_interval(secs => :lease_seconds)
from due
where s.merchant_id = due.merchant_id and s.subscription_id = due.subscription_id
returning s.merchant_id, s.subscription_id;

-- name: release_subscriptions!
-- Release leased subscriptions; they are due again after a pause.
update subscription s
set lease_until = now() + make_interval(secs => :pause_seconds)
from unnest(:merchant_ids::bigint[], :subscription_ids::bigint[], :leases::bigint[])
    as given (merchant_id, subscription_id, lease)
where s.merchant_id = given.merchant_id and s.subscription_id = given.subscription_id and s.lease = given.lease;

-- name: select_agreements
-- Return the agreements of subscriptions, from the payments that started them.
select s.merchant_id, s.subscription_id, p.metadata::text as metadata, p.ipn_url, p.redirect_url, p.terms, p.consumer
from subscription s
join unnest(:merchant_ids::bigint[], :subscription_ids::bigint[]) as given (merchant_id, subscription_id)
    using (merchant_id, subscription_id)
join payment p on p.merchant_id = s.merchant_id and p.payment_id = s.payment_id;

-- name: select_email_terms
-- Return the facts for emails about subscriptions, from their first payments and sites.
select s.merchant_id, s.subscription_id, p.terms, p.consumer, coalesce(site.name, '') as shop,
    coalesce(site.descriptor, '') as descriptor
from subscription s
join unnest(:merchant_ids::bigint[], :subscription_ids::bigint[]) as given (merchant_id, subscription_id)
    using (merchant_id, subscription_id)
join payment p on p.merchant_id = s.merchant_id and p.payment_id = s.payment_id
left join site on site.merchant_id = s.merchant_id and site.site_id = s.site_id;

-- name: lease_cards
-- Lease subscriptions whose cards are due for a check, and postpone these checks by a pause.
with plain as (
    select merchant_id, subscription_id
    from subscription
    where check_card_at <= now() and status in ('active', 'trial', 'past_due')
    order by check_card_at
    limit :limit
    for no key update skip locked
),
advanced as (
    select s.merchant_id, s.subscription_id
    from merchant m join subscription s using (merchant_id)
    where m.clock_offset > '0' and s.check_card_at > now() and s.check_card_at <= now() + m.clock_offset
        and s.status in ('active', 'trial', 'past_due')
    order by s.check_card_at
    limit :limit
    for no key update of s skip locked
),
due as (
    select * from plain union all select * from advanced
)
update subscription s
set check_card_at = now() + m.clock_offset + :pause::interval, version = s.version + 1
from due join merchant m using (merchant_id)
where s.merchant_id = due.merchant_id and s.subscription_id = due.subscription_id
returning s.merchant_id, s.subscription_id;

-- name: select_next_due$
-- Return the merchant time at which the next subscription of a merchant falls due.
select min(s.due_at)
from merchant m join subscription s using (merchant_id)
where m.merchant_id = :merchant_id and s.due_at > now() + m.clock_offset;

-- name: select_next_card$
-- Return the merchant time of the next card check of a merchant.
select min(check_card_at) from subscription
where merchant_id = :merchant_id and status in ('active', 'trial', 'past_due');

-- name: select_is_busy$
-- Return whether a subscription of a merchant was due by a merchant time and can still be processed, or is being charged. While
-- renewals are paused, charges by real time cannot be processed.
select exists (
    select from subscription s join merchant m using (merchant_id)
    where s.merchant_id = :merchant_id and s.due_at <= :due_by
        and may_be_done_v1(
            s.is_charge_next, s.waits_for_account, s.cancel_at, now() + m.clock_offset, m.state = 'active'
        )
        and not (
            s.due_at <= now() and s.is_charge_next and (s.cancel_at is null or s.cancel_at > now())
            and exists (select from renewal_hour where paused_at is not null)
        )
) or exists (
    select from renewal r join attempt a using (merchant_id, transaction_id)
    where r.merchant_id = :merchant_id and r.state = 'open' and a.state = 'in_flight'
);

-- name: select_cards_busy$
-- Return whether a card check of a merchant was due by a merchant time.
select exists (
    select from subscription
    where merchant_id = :merchant_id and check_card_at <= :due_by and status in ('active', 'trial', 'past_due')
);

-- name: insert_renewal_hour!
-- Insert the forecast of this hour, unless it exists: the charges that fall due in it, and those that are left of the previous hour, if
-- that has a row. Of these at most as many as its forecast, or as fell due in it.
insert into renewal_hour (hour, forecast)
select this.hour, due.now + case when before.hour is null then 0 else least(
    due.left_over, greatest(before.forecast - before.begun, due.lately)
) end
from (select date_trunc('hour', now(), 'UTC') as hour) as this
left join renewal_hour before on before.hour = this.hour - interval '1 hour'
cross join lateral (
    select count(*) filter (where s.due_at >= this.hour) as now,
        count(*) filter (where s.due_at < this.hour) as left_over,
        count(*) filter (where s.due_at < this.hour and s.due_at >= this.hour - interval '1 hour') as lately
    from subscription s join merchant m using (merchant_id)
    where s.due_at < this.hour + interval '1 hour' and s.is_charge_next and m.clock_offset = '0' and m.state = 'active'
) as due
where not exists (select from renewal_hour h where h.hour = this.hour)
on conflict do nothing;

-- name: count_renewals^
-- Count renewals that began in this hour, pause it if they exceed the limit, and return it. An hour is paused while an earlier one is.
update renewal_hour h
set begun = h.begun + :count::integer,
    paused_at = case
        when h.begun + :count >= greatest(:floor, :factor * h.forecast) then coalesce(h.paused_at, now())
        else h.paused_at
    end
where h.hour = date_trunc('hour', now(), 'UTC')
returning h.forecast, h.begun,
    coalesce(h.paused_at, (select max(e.paused_at) from renewal_hour e where e.hour < h.hour)) as paused_at;

-- name: select_renewal_hour^
-- Return this hour, the number of due subscriptions, and the beginning of a pause.
select coalesce(h.forecast, 0) as forecast, coalesce(h.begun, 0) as begun,
    (select max(paused_at) from renewal_hour) as paused_at,
    (
        select count(*) from subscription s join merchant m using (merchant_id)
        where s.due_at <= now() and s.is_charge_next and m.clock_offset = '0' and m.state = 'active'
    ) as due
from (select date_trunc('hour', now(), 'UTC') as hour) as this
left join renewal_hour h using (hour);

-- name: resume_renewals!
-- Resume renewals: charges that are due now count as forecast.
with resumed as (
    update renewal_hour set paused_at = null where paused_at is not null
)
insert into renewal_hour as h (hour, forecast)
select date_trunc('hour', now(), 'UTC'), count(*)
from subscription s join merchant m using (merchant_id)
where s.due_at <= now() and s.is_charge_next and m.clock_offset = '0' and m.state = 'active'
on conflict (hour) do update set forecast = h.begun + excluded.forecast, paused_at = null;

-- name: delete_old_hours(most)$
-- Delete some old hours, unless one is paused.
with gone as (
    delete from renewal_hour
    where ctid = any(array(
        select ctid from renewal_hour
        where hour < now() - interval '90 days' and paused_at is null
        order by hour
        limit :most
        for update skip locked
    ))
    returning 1
)
select count(*)::integer from gone;

-- name: select_hours_lag()$
-- Return the seconds for which the oldest hour has been overdue.
select extract(epoch from now() - interval '90 days' - hour)::double precision
from renewal_hour
where paused_at is null
order by hour
limit 1;
