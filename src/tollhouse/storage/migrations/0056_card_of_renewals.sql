-- Renewals know the card, whoever the consumer, and why a try failed; times that merchants see are whole seconds.

alter table renewal
    -- Of the card that was tried: a card is one card at a merchant, whatever consumers have it.
    add column fingerprint bytea,
    -- Why a try failed, as the rules of dunning read it.
    add column code text,
    add column advice_code text,
    add column brand text,
    -- Null until it is settled. False also for a failure that was no decline of the issuer's.
    add column is_decline boolean,
    -- Declined for good: the card is not charged again at this merchant, unless it is approved later.
    add column refuses_card boolean not null default false;

update renewal r
set fingerprint = a.fingerprint, brand = a.brand
from account a
where a.merchant_id = r.merchant_id and a.account_id = r.account_id;

update renewal r
set code = t.code, is_decline = r.state = 'failed' and t.code not in ('1030', '1040', '1041')
from transaction t
where t.merchant_id = r.merchant_id and t.transaction_id = r.transaction_id and r.state <> 'open';

update renewal r
set advice_code = a.advice_code
from attempt a
where a.merchant_id = r.merchant_id and a.transaction_id = r.transaction_id and a.advice_code is not null
    and r.state = 'failed';

alter table subscription
    -- When its card was last approved for it: at the sign-up, a renewal, or the card's verification.
    add column approved_at timestamptz,
    -- Whether it is charged at `charge_at`; else it ends then, or a period that costs nothing is passed over.
    add column is_charge_next boolean not null default true;

update subscription set approved_at = charged_at;
update subscription
set is_charge_next = not (waits_for_account or is_revoked or renewal_at is null)
where due_at is not null;

-- Shown in seconds, kept in seconds.
update subscription
set anchor_at = date_trunc('second', anchor_at),
    renewal_at = date_trunc('second', renewal_at),
    charge_at = date_trunc('second', charge_at),
    due_at = date_trunc('second', due_at),
    charged_at = date_trunc('second', charged_at),
    paid_until = date_trunc('second', paid_until),
    cancel_at = date_trunc('second', cancel_at);

-- What expired was not cancelled.
update subscription set cancel_at = null where status = 'expired';

drop index renewal_declined;
create index renewal_declined on renewal (merchant_id, fingerprint, settled_at) where is_decline;
create index renewal_refused on renewal (merchant_id, fingerprint, settled_at) where refuses_card;
create index account_fingerprint on account (merchant_id, fingerprint);
-- What falls due without a charge, which nothing pauses.
create index subscription_due_uncharged on subscription (due_at)
    where due_at is not null and (not is_charge_next or cancel_at is not null);

-- Whether what is due of a subscription may be done now: of a disabled merchant nothing is charged, and nothing expires for want of it.
create function may_be_done(
    is_charge_next boolean, waits_for_account boolean, cancel_at timestamptz, merchant_now timestamptz,
    is_merchant_active boolean
)
returns boolean language sql immutable parallel safe
return $5 or not ($1 or $2) or coalesce($3 <= $4, false);

drop view subscription_case;

-- A subscription with all that decides about it: the merchant's time, whether a charge is under way, the site's way with
-- failed renewals, the tries for its next period, and when its card was declined in the last 30 days, or for good.
create view subscription_case as
select s.merchant_id, s.subscription_id, s.payment_id, s.site_id, s.consumer_id, s.account_id, s.sku_name, s.title, s.status,
    s.prices, s.anchor_at, s.anchor_months, s.starts_at_anchor, s.first_period, s.next_period, s.tries, s.cycle,
    s.created_at, s.began_as_trial, s.renewal_at, s.charge_at, s.charged_at, s.approved_at, s.paid_until, s.cancel_at,
    s.cancel_reason, s.tells_consumer, s.waits_for_account, s.is_revoked, s.ended_with, s.next_prices,
    s.network_transaction_id, s.check_card_at, s.lease, m.clock_offset, now() + m.clock_offset as merchant_now,
    m.state = 'active' as is_merchant_active,
    coalesce(site.extras ->> 'rebillRetryPolicy', '') as policy,
    tried.is_charging, tried.first_tried_at, tried.declined_tries,
    last.settled_at as last_failed_at, last.code as last_code, last.advice_code as last_advice_code, last.brand as last_brand,
    array(
        select r.settled_at from renewal r
        where r.merchant_id = s.merchant_id and r.fingerprint = card.fingerprint and r.is_decline
            and r.settled_at > now() + m.clock_offset - interval '30 days'
        order by r.settled_at desc
        limit 50
    ) as declines,
    (
        select max(r.settled_at) from renewal r
        where r.merchant_id = s.merchant_id and r.fingerprint = card.fingerprint and r.refuses_card
    ) as refused_at
from subscription s
join merchant m using (merchant_id)
left join site on site.merchant_id = s.merchant_id and site.site_id = s.site_id
left join account card on card.merchant_id = s.merchant_id and card.account_id = s.account_id
cross join lateral (
    select coalesce(bool_or(r.state = 'open'), false) as is_charging,
        -- A try that is under way counts; one that was no decline does not.
        min(r.tried_at) filter (where r.is_decline is distinct from false) as first_tried_at,
        count(*) filter (where r.is_decline) as declined_tries
    from renewal r
    where r.merchant_id = s.merchant_id and r.subscription_id = s.subscription_id and r.period = s.next_period
) tried
left join lateral (
    select r.settled_at, r.code, r.advice_code, r.brand, r.account_id
    from renewal r
    where r.merchant_id = s.merchant_id and r.subscription_id = s.subscription_id and r.period = s.next_period
        and r.state = 'failed'
    order by r.try desc
    limit 1
) last on last.account_id = s.account_id
where s.status <> 'pending';
