-- Tables of: merchants.

-- name: insert_consumers!
-- Create the consumers that do not exist. Keep existing ones unchanged.
select insert_consumers_v1(:consumers::consumer_v1[]);

-- name: select_consumer^
-- Return a merchant's consumer by its gateway ID.
select merchant_id, consumer_id, external_id, profile, last_account_id
from consumer
where merchant_id = :merchant_id and consumer_id = :consumer_id;

-- name: select_consumer_entry^
-- Return all fields of a merchant's consumer.
select consumer_id, external_id, profile, group_id,
    merchant_time_v1(merchant_id, created_at) as created_at,
    merchant_time_v1(merchant_id, updated_at) as updated_at
from consumer
where merchant_id = :merchant_id and consumer_id = :consumer_id;

-- name: upsert_consumer^
-- Create a consumer, or update an existing one, and return all fields. Fields that are not given stay unchanged, and so
-- does the group.
insert into consumer as c (merchant_id, consumer_id, external_id, profile, group_id)
values (:merchant_id, :consumer_id, :external_id, :profile, :group_id)
on conflict (merchant_id, consumer_id) do update
set
    profile = c.profile || excluded.profile,
    updated_at = case when c.profile @> excluded.profile then c.updated_at else now() end
returning c.consumer_id, c.external_id, c.profile, c.group_id,
    merchant_time_v1(c.merchant_id, c.created_at) as created_at,
    merchant_time_v1(c.merchant_id, c.updated_at) as updated_at;

-- name: update_consumer^
-- Update the given fields of a consumer, and return all fields. A null group stays unchanged.
update consumer
set
    group_id = coalesce(:group_id, group_id),
    profile = profile || :profile::jsonb,
    updated_at = now()
where merchant_id = :merchant_id and consumer_id = :consumer_id
returning consumer_id, external_id, profile, group_id,
    merchant_time_v1(merchant_id, created_at) as created_at,
    merchant_time_v1(merchant_id, updated_at) as updated_at;

-- name: update_last_account_replaced!
-- Replace the last stored card of a consumer by the card that replaced it.
update consumer
set last_account_id = :account_id
where merchant_id = :merchant_id and consumer_id = :consumer_id and last_account_id = :replaced_id;
