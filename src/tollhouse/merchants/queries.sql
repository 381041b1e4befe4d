-- name: select_merchant_by_key^
-- Find the merchant to whom an API key belongs, whether or not it may be used.
select m.merchant_id, m.name, m.state = 'active' as is_active, m.clock_offset, k.allowed_networks, k.expires_at
from api_key k
join merchant m using (merchant_id)
where k.digest = :digest;

-- name: insert_merchant!
-- Create a merchant; one that exists stays as it is.
insert into merchant (merchant_id, name, ipn_secret) values (:merchant_id, :name, :ipn_secret)
on conflict (merchant_id) do nothing;

-- name: insert_api_key!
-- Add an API key to a merchant; a key that exists stays as it is.
insert into api_key (merchant_id, digest, hint) values (:merchant_id, :digest, :hint)
on conflict (digest) do nothing;

-- name: select_ipn_secret$
-- Return a merchant's sealed IPN secret.
select ipn_secret from merchant where merchant_id = :merchant_id;
