-- A subscription that the payment at `place` starts.
create type pending_subscription_v1 as (
    place integer, merchant_id bigint, subscription_id bigint, payment_id bigint, site_id bigint, consumer_id text,
    account_id uuid, sku_name text, title text, prices jsonb, anchor_at timestamptz, began_as_trial boolean,
    created_at timestamptz
);

-- billing: Insert the subscriptions that payments start, as pending. Those that an earlier run of the batch wrote stay.
create function insert_pending_subscriptions_v1(subscriptions pending_subscription_v1[]) returns void
language plpgsql as $$
begin
    insert into subscription (
        merchant_id, subscription_id, payment_id, site_id, consumer_id, account_id, sku_name, title, prices, anchor_at,
        began_as_trial, created_at
    )
    select merchant_id, subscription_id, payment_id, site_id, consumer_id, account_id, sku_name, title, prices,
        anchor_at, began_as_trial, created_at
    from unnest(subscriptions)
    on conflict do nothing;
end
$$;
