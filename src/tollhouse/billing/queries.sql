-- name: insert_subscriptions!
-- Record subscriptions as pending, with the intention of the payment that starts them.
insert into subscription (
    merchant_id, subscription_id, payment_id, site_id, consumer_id, account_id, sku_name, prices, anchor_at
)
select * from unnest(
    :merchant_ids::bigint[], :subscription_ids::bigint[], :payment_ids::bigint[], :site_ids::bigint[],
    :consumer_ids::text[], :account_ids::uuid[], :sku_names::text[], :prices::jsonb[], :anchors_at::timestamptz[]
)
on conflict do nothing;

-- name: start_subscriptions!
-- Start subscriptions whose first payment was approved.
update subscription s
set status = given.status, anchor_at = given.anchor_at, renewal_at = given.renewal_at
from unnest(
    :merchant_ids::bigint[], :subscription_ids::bigint[], :statuses::subscription_status[],
    :anchors_at::timestamptz[], :renewals_at::timestamptz[]
) as given (merchant_id, subscription_id, status, anchor_at, renewal_at)
where s.merchant_id = given.merchant_id and s.subscription_id = given.subscription_id and s.status = 'pending';

-- name: delete_subscriptions!
-- Forget subscriptions whose first payment failed.
delete from subscription s
using unnest(:merchant_ids::bigint[], :subscription_ids::bigint[]) as given (merchant_id, subscription_id)
where s.merchant_id = given.merchant_id and s.subscription_id = given.subscription_id and s.status = 'pending';
