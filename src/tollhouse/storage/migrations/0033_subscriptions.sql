-- Subscriptions that are billed: where each stands in its schedule, and what was tried for which period.

create type subscription_end as enum (
    'canceled',  -- by the merchant
    'unpaid',    -- the retries of a renewal are over
    'refused',   -- a renewal was declined in a way after which nothing may be tried
    'revoked',   -- the cardholder has told the issuer to end it
    'finished'   -- nothing was left to charge, and what was paid for is over
);

create sequence subscription_lease;

alter table subscription
    -- What is sold, in words.
    add column title text not null default '',
    -- The schedule counts from here: `anchor_at` and so many whole months later (tollhouse.billing.schedule.Plan).
    add column anchor_months integer not null default 0 check (anchor_months >= 0),
    add column starts_at_anchor boolean not null default false,
    add column first_period integer not null default 1 check (first_period > 0),
    -- The period that is charged next, how often that was tried, and whether a new card is waited for.
    add column next_period integer not null default 1 check (next_period > 0),
    add column tries smallint not null default 0 check (tries >= 0),
    add column waits_for_account boolean not null default false,
    -- Prices that take effect when the charge that was under way at their change is settled.
    add column next_prices jsonb,
    -- Merchant's time, as are all here but leases. When the next try may be made; of one that waits for a card, or has
    -- nothing left to charge, when it expires.
    add column charge_at timestamptz,
    -- The earlier of that and `cancel_at`: when the worker has something to do. Null: never, or not before a charge that
    -- is under way is settled.
    add column due_at timestamptz,
    -- When it was charged last, and until when what was charged is good.
    add column charged_at timestamptz,
    add column paid_until timestamptz,
    -- It began without a charge.
    add column began_as_trial boolean not null default false,
    add column cancel_reason text check (length(cancel_reason) <= 255),
    -- To whom a letter goes when it ends by cancellation at a later date.
    add column tells_consumer boolean not null default false,
    -- What the issuer said about another subscription on the same card ends this one when it is due.
    add column is_revoked boolean not null default false,
    add column ended_with subscription_end,
    -- Of the customer-initiated payment that began the agreement; never that of another card.
    add column network_transaction_id text,
    -- When the account updater is asked about its card next. Null: not before the card changes.
    add column check_card_at timestamptz,
    -- The fencing token of the last claim, and until when it holds, in real time.
    add column lease bigint,
    add column lease_until timestamptz,
    add column created_at timestamptz not null default now(),
    add column updated_at timestamptz not null default now();

update subscription s
set charge_at = s.renewal_at,
    due_at = s.renewal_at,
    paid_until = s.renewal_at,
    charged_at = s.anchor_at,
    began_as_trial = s.status = 'trial',
    created_at = s.anchor_at,
    network_transaction_id = (
        select t.network_transaction_id from transaction t
        where t.merchant_id = s.merchant_id and t.payment_id = s.payment_id and t.status = 'success'
        limit 1
    )
where s.status in ('active', 'trial');

-- Cards that are good still are looked at 30 days before they are so no more.
update subscription s
set check_card_at = greatest(
    s.anchor_at, make_timestamptz(a.expiry_year, a.expiry_month, 1, 0, 0, 0, 'UTC') + interval '1 month' - interval '30 days'
)
from account a
where a.merchant_id = s.merchant_id and a.account_id = s.account_id and s.status in ('active', 'trial')
    and make_timestamptz(a.expiry_year, a.expiry_month, 1, 0, 0, 0, 'UTC') + interval '1 month' > now();

-- For the worker, by real time; and for the few merchants whose clock was advanced, by theirs.
create index subscription_due on subscription (due_at) where due_at is not null;
create index subscription_due_of_merchant on subscription (merchant_id, due_at) where due_at is not null;
create index subscription_card on subscription (check_card_at) where status in ('active', 'trial', 'past_due');
create index subscription_card_of_merchant on subscription (merchant_id, check_card_at)
    where status in ('active', 'trial', 'past_due');
create index subscription_account on subscription (merchant_id, account_id);
create index subscription_consumer on subscription (merchant_id, consumer_id, subscription_id);

create type renewal_state as enum (
    'open',   -- -> paid | failed
    'paid',   -- final
    'failed'  -- final; the period may be tried again
);

-- One try to charge one period. The transaction is a sale like any other.
create table renewal (
    merchant_id bigint not null,
    transaction_id bigint not null,
    payment_id bigint not null,
    subscription_id bigint not null,
    period integer not null check (period > 0),
    try smallint not null check (try > 0),
    account_id uuid not null,
    state renewal_state not null default 'open',
    -- When the period was due, and when it was tried.
    due_at timestamptz not null,
    tried_at timestamptz not null,
    settled_at timestamptz,
    primary key (merchant_id, transaction_id),
    constraint renewal_try_unique unique (merchant_id, subscription_id, period, try)
);

-- A period is charged once, whatever runs twice.
create unique index renewal_once on renewal (merchant_id, subscription_id, period) where state <> 'failed';
create index renewal_open on renewal (merchant_id) where state = 'open';
-- What was declined on a card lately, for the limits of the schemes.
create index renewal_declined on renewal (merchant_id, account_id, settled_at) where state = 'failed';

-- Whether a site hears of what happens to subscriptions without a payment: cancelled, recovered, expired, card expiring.
alter table site add column subscription_events boolean not null default false;

-- A subscription with all that decides about it: the merchant's time, whether a charge is under way, the site's way with
-- failed renewals, and when its card was declined in the last 30 days.
create view subscription_case as
select s.merchant_id, s.subscription_id, s.payment_id, s.site_id, s.consumer_id, s.account_id, s.sku_name, s.title, s.status,
    s.prices, s.anchor_at, s.anchor_months, s.starts_at_anchor, s.first_period, s.next_period, s.tries, s.cycle,
    s.created_at, s.began_as_trial, s.renewal_at, s.charge_at, s.charged_at, s.paid_until, s.cancel_at, s.cancel_reason,
    s.tells_consumer, s.waits_for_account, s.is_revoked, s.ended_with, s.next_prices, s.network_transaction_id,
    s.check_card_at, s.lease, m.clock_offset, now() + m.clock_offset as merchant_now,
    m.state = 'active' as is_merchant_active,
    coalesce(site.extras ->> 'rebillRetryPolicy', '') as policy,
    exists (
        select from renewal r
        where r.merchant_id = s.merchant_id and r.subscription_id = s.subscription_id and r.period = s.next_period
            and r.state = 'open'
    ) as is_charging,
    (
        select min(r.tried_at) from renewal r
        where r.merchant_id = s.merchant_id and r.subscription_id = s.subscription_id and r.period = s.next_period
    ) as first_tried_at,
    array(
        select r.settled_at from renewal r
        where r.merchant_id = s.merchant_id and r.account_id = s.account_id and r.state = 'failed'
            and r.settled_at > now() + m.clock_offset - interval '30 days'
        order by r.settled_at desc
        limit 50
    ) as declines
from subscription s
join merchant m using (merchant_id)
left join site on site.merchant_id = s.merchant_id and site.site_id = s.site_id
where s.status <> 'pending';
