-- A pending subscription to delete.
create type forgotten_subscription_v1 as (place integer, merchant_id bigint, subscription_id bigint);

-- billing: Delete pending subscriptions whose first payment failed.
create function forget_subscriptions_v1(subscriptions forgotten_subscription_v1[]) returns void
language plpgsql set enable_seqscan to off set enable_hashjoin to off set enable_mergejoin to off as $$
begin
    delete from subscription s
    using unnest(subscriptions) as g
    where s.merchant_id = g.merchant_id and s.subscription_id = g.subscription_id and s.status = 'pending';
end
$$;
