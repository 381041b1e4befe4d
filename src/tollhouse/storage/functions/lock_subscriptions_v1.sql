-- The new state of a subscription. `expected_version` is the version from which it was computed, or null if no other writer
-- can change it.
create type subscription_v1 as (
    place integer, expected_version integer, keeps_lease boolean, merchant_id bigint, subscription_id bigint,
    status subscription_status, account_id uuid, prices jsonb, anchor_at timestamptz, anchor_months integer,
    starts_at_anchor boolean, first_period integer, next_period integer, tries smallint, cycle integer,
    renewal_at timestamptz, charge_at timestamptz, due_at timestamptz, charged_at timestamptz, paid_until timestamptz,
    cancel_at timestamptz, cancel_reason text, tells_consumer boolean, waits_for_account boolean, is_revoked boolean,
    ended_with subscription_end, next_prices jsonb, network_transaction_id text, check_card_at timestamptz,
    approved_at timestamptz, is_charge_next boolean
);

-- billing: Lock the subscriptions that have an expected version, and return the places whose subscription has another version, or is
-- also changed by an earlier place.
create function lock_subscriptions_v1(subscriptions subscription_v1[]) returns integer[]
language plpgsql set enable_seqscan to off set enable_hashjoin to off set enable_mergejoin to off as $$
begin
    perform from subscription s
    join unnest(subscriptions) as g using (merchant_id, subscription_id)
    where g.expected_version is not null
    order by s.merchant_id, s.subscription_id
    for no key update of s;

    return array(
        select g.place
        from (
            select place, expected_version, merchant_id, subscription_id,
                min(place) over (partition by merchant_id, subscription_id) as first_place
            from unnest(subscriptions)
        ) as g
        left join subscription s using (merchant_id, subscription_id)
        where g.expected_version is not null and (s.version is distinct from g.expected_version or g.place > g.first_place)
    );
end
$$;
