-- Subscriptions and their renewals.

create type subscription_status as enum (
    'pending',   -- -> active | trial | (deleted when the first payment fails)
    'active',    -- -> past_due | canceled | expired
    'trial',     -- -> active | past_due | canceled | expired
    'past_due',  -- -> active | canceled | expired
    'canceled',  -- -> active (recovered)
    'expired'    -- final
);

create type subscription_end as enum (
    'canceled',  -- by the merchant
    'unpaid',    -- all retries of a renewal failed
    'refused',   -- a renewal was declined for good
    'revoked',   -- the cardholder told the issuer to end it
    'finished'   -- nothing was left to charge and the paid period ended
);

-- Numbers the leases of subscriptions.
create sequence subscription_lease;

-- Subscriptions, and their position in the schedule. Inserted by the payment that starts one. Merchant time in whole seconds, except
-- the lease.
create table subscription (
    merchant_id bigint not null,
    subscription_id bigint not null,
    payment_id bigint not null,
    site_id bigint not null,
    consumer_id text not null collate "C",
    account_id uuid not null,
    sku_name text,
    -- The item in words.
    title text not null default '',
    status subscription_status not null default 'pending',
    -- The reason for its end.
    ended_with subscription_end,
    -- The schedule, and the prices that replace it when the charge that was open at their change is finished.
    prices jsonb not null,
    next_prices jsonb,
    -- Successful renewals.
    cycle integer not null default 0,
    -- The schedule counts from `anchor_at` plus this many whole months (tollhouse.billing.schedule.Plan).
    anchor_at timestamptz not null,
    anchor_months integer not null default 0 check (anchor_months >= 0),
    starts_at_anchor boolean not null default false,
    first_period integer not null default 1 check (first_period > 0),
    -- The period charged next, how often that was attempted, and whether a new card is needed first.
    next_period integer not null default 1 check (next_period > 0),
    tries smallint not null default 0 check (tries >= 0),
    waits_for_account boolean not null default false,
    -- The start of the next period.
    renewal_at timestamptz,
    -- When the next attempt may be made; if a card is missing or nothing is left to charge, when the subscription expires.
    charge_at timestamptz,
    -- Whether it is charged at `charge_at`; otherwise it ends then, or a free period is skipped.
    is_charge_next boolean not null default true,
    -- When it is canceled, and why.
    cancel_at timestamptz,
    cancel_reason text check (length(cancel_reason) <= 255),
    -- The earlier of `charge_at` and `cancel_at`: when the worker processes it. Null: never, or not before an open charge is finished.
    due_at timestamptz,
    -- When it was last charged, and the end of the paid period.
    charged_at timestamptz,
    paid_until timestamptz,
    -- When its card was last approved for it: at the sign-up, a renewal, or a verification.
    approved_at timestamptz,
    -- It began without a charge.
    began_as_trial boolean not null default false,
    -- Whether the consumer gets an email when it ends by cancellation at a later date.
    tells_consumer boolean not null default false,
    -- A response of the issuer about another subscription on the same card ends this one when it is due.
    is_revoked boolean not null default false,
    -- Of the consumer-initiated payment that began the agreement; never that of another card.
    network_transaction_id text,
    -- When the account updater is next asked about the card. Null: not before the card changes.
    check_card_at timestamptz,
    -- The fencing token of the last lease, and its end in real time.
    lease bigint,
    lease_until timestamptz,
    -- Counts the changes: a result computed from the subscription is written only if this is the same.
    version integer not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (merchant_id, subscription_id)
);

-- Finds the subscription that a payment started.
create index subscription_payment on subscription (merchant_id, payment_id);
-- Finds the subscriptions on a stored card.
create index subscription_account on subscription (merchant_id, account_id);
-- Lists the subscriptions of a consumer.
create index subscription_consumer on subscription (merchant_id, consumer_id, subscription_id);
-- Finds due subscriptions by real time.
create index subscription_due on subscription (due_at) where due_at is not null;
-- Finds due subscriptions of merchants whose clock was advanced.
create index subscription_due_of_merchant on subscription (merchant_id, due_at) where due_at is not null;
-- Finds due subscriptions that are not charged, which the renewal breaker does not pause.
create index subscription_due_uncharged on subscription (due_at)
    where due_at is not null and (not is_charge_next or cancel_at is not null);
-- Finds cards to ask the account updater about, by real time.
create index subscription_card on subscription (check_card_at) where status in ('active', 'trial', 'past_due');
-- Finds such cards of merchants whose clock was advanced.
create index subscription_card_of_merchant on subscription (merchant_id, check_card_at)
    where status in ('active', 'trial', 'past_due');

create type renewal_state as enum (
    'open',   -- -> paid | failed
    'paid',   -- final
    'failed'  -- final; the period may be retried
);

-- Attempts to charge a period. The transaction is a sale like any other.
create table renewal (
    merchant_id bigint not null,
    transaction_id bigint not null,
    payment_id bigint not null,
    subscription_id bigint not null,
    period integer not null check (period > 0),
    try smallint not null check (try > 0),
    account_id uuid not null,
    -- Of the card that was charged: one card at a merchant may be stored for several consumers.
    fingerprint bytea,
    brand text,
    state renewal_state not null default 'open',
    -- The cause of its failure, in the terms of the rules of dunning.
    code text,
    advice_code text,
    -- Null until it is finished. False also for a failure that was not a decline by the issuer.
    is_decline boolean,
    -- Declined for good: the card is not charged again at this merchant unless it is approved later.
    refuses_card boolean not null default false,
    -- When the period was due, and when it was attempted.
    due_at timestamptz not null,
    tried_at timestamptz not null,
    finished_at timestamptz,
    primary key (merchant_id, transaction_id),
    -- Makes each attempt unique.
    constraint renewal_try_unique unique (merchant_id, subscription_id, period, try)
);

-- Charges a period once, even if two workers run.
create unique index renewal_once on renewal (merchant_id, subscription_id, period) where state <> 'failed';
-- Finds open renewals.
create index renewal_open on renewal (merchant_id) where state = 'open';
-- Finds recent declines of a card, for the limits of the schemes.
create index renewal_declined on renewal (merchant_id, fingerprint, finished_at) where is_decline;
-- Finds declines for good of a card.
create index renewal_refused on renewal (merchant_id, fingerprint, finished_at) where refuses_card;

-- Renewals begun in each hour, against their forecast: a fault that charges too much is stopped within the hour. Real time; merchants
-- whose clock was advanced are not counted.
create table renewal_hour (
    hour timestamptz primary key check (hour = date_trunc('hour', hour, 'UTC')),
    -- Subscriptions due in this hour, counted at its start.
    forecast integer not null check (forecast >= 0),
    begun integer not null default 0 check (begun >= 0),
    -- When renewals were paused because there were too many. Resuming adds the renewals due by then to the forecast.
    paused_at timestamptz
);

-- A subscription with all facts for its rules: merchant time, whether a charge is open, the site's rule for failed renewals, the
-- attempts for its next period, and when its card was declined in the last 30 days, or for good.
create view subscription_case as
select s.merchant_id, s.subscription_id, s.payment_id, s.site_id, s.consumer_id, s.account_id, s.sku_name, s.title, s.status,
    s.prices, s.anchor_at, s.anchor_months, s.starts_at_anchor, s.first_period, s.next_period, s.tries, s.cycle,
    s.created_at, s.began_as_trial, s.renewal_at, s.charge_at, s.charged_at, s.approved_at, s.paid_until, s.cancel_at,
    s.cancel_reason, s.tells_consumer, s.waits_for_account, s.is_revoked, s.ended_with, s.next_prices,
    s.network_transaction_id, s.check_card_at, s.lease, s.version, m.clock_offset, now() + m.clock_offset as merchant_now,
    m.state = 'active' as is_merchant_active,
    coalesce(site.extras ->> 'rebillRetryPolicy', '') as policy,
    tried.is_charging, tried.first_tried_at, tried.declined_tries,
    last.finished_at as last_failed_at, last.code as last_code, last.advice_code as last_advice_code, last.brand as last_brand,
    array(
        select r.finished_at from renewal r
        where r.merchant_id = s.merchant_id and r.fingerprint = card.fingerprint and r.is_decline
            and r.finished_at > now() + m.clock_offset - interval '30 days'
        order by r.finished_at desc
        limit 50
    ) as declines,
    (
        select max(r.finished_at) from renewal r
        where r.merchant_id = s.merchant_id and r.fingerprint = card.fingerprint and r.refuses_card
    ) as refused_at
from subscription s
join merchant m using (merchant_id)
left join site on site.merchant_id = s.merchant_id and site.site_id = s.site_id
left join account card on card.merchant_id = s.merchant_id and card.account_id = s.account_id
cross join lateral (
    select coalesce(bool_or(r.state = 'open'), false) as is_charging,
        -- An open attempt counts; one that failed without a decline does not.
        min(r.tried_at) filter (where r.is_decline is distinct from false) as first_tried_at,
        count(*) filter (where r.is_decline) as declined_tries
    from renewal r
    where r.merchant_id = s.merchant_id and r.subscription_id = s.subscription_id and r.period = s.next_period
) tried
left join lateral (
    select r.finished_at, r.code, r.advice_code, r.brand, r.account_id
    from renewal r
    where r.merchant_id = s.merchant_id and r.subscription_id = s.subscription_id and r.period = s.next_period
        and r.state = 'failed'
    order by r.try desc
    limit 1
) last on last.account_id = s.account_id
where s.status <> 'pending';
