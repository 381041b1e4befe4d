-- An attempt to charge a period of a subscription by the payment at `place`.
create type renewal_try_v1 as (
    place integer, merchant_id bigint, subscription_id bigint, lease bigint, period integer, try smallint,
    transaction_id bigint, payment_id bigint, account_id uuid, due_at timestamptz, tried_at timestamptz,
    fingerprint bytea, brand text
);

-- billing: Insert renewals of subscriptions that are still as they were leased, and return the places of the others.
--
-- The worker leaves these subscriptions alone until the renewal is finished. A renewal that an earlier run of the batch wrote is not among
-- the others.
create function begin_renewals_v1(renewals renewal_try_v1[]) returns integer[]
language plpgsql set enable_seqscan to off set enable_hashjoin to off set enable_mergejoin to off as $$
declare
    fitting integer[];
begin
    perform from subscription s
    join unnest(renewals) as g using (merchant_id, subscription_id)
    order by s.merchant_id, s.subscription_id
    for no key update of s;

    fitting := array(
        select g.place
        from unnest(renewals) as g
        join subscription s using (merchant_id, subscription_id)
        where s.lease = g.lease and s.next_period = g.period and s.account_id = g.account_id and s.due_at is not null
    );

    update subscription s
    set tries = g.try, due_at = null, lease = null, lease_until = null
    from unnest(renewals) as g
    where g.place = any(fitting) and s.merchant_id = g.merchant_id and s.subscription_id = g.subscription_id;

    insert into renewal (
        merchant_id, transaction_id, payment_id, subscription_id, period, try, account_id, due_at, tried_at, fingerprint,
        brand
    )
    select merchant_id, transaction_id, payment_id, subscription_id, period, try, account_id, due_at, tried_at,
        fingerprint, brand
    from unnest(renewals)
    where place = any(fitting);

    return array(
        select g.place
        from unnest(renewals) as g
        where not exists (
            select from renewal r where r.merchant_id = g.merchant_id and r.transaction_id = g.transaction_id
        )
    );
end
$$;
