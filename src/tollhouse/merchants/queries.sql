-- name: select_merchants_by_keys
-- Find the merchants of API keys, whether or not the keys may be used.
select k.digest, m.merchant_id, m.name, m.state = 'active' as is_active, m.clock_offset, k.allowed_networks, k.expires_at
from api_key k
join merchant m using (merchant_id)
where k.digest = any(:digests::bytea []);

-- name: select_key_prefixes$
-- Return the first bytes of the digests of all API keys, concatenated.
select string_agg(substring(digest from 1 for :bytes), ''::bytea)
from (select digest from api_key limit :most) as k;

-- name: select_is_merchant_active$
-- Return whether a merchant may sell, charge and capture.
select state = 'active' from merchant where merchant_id = :merchant_id;

-- name: insert_merchant!
-- Create a merchant. Keep an existing one unchanged.
insert into merchant (merchant_id, name, ipn_secret) values (:merchant_id, :name, :ipn_secret)
on conflict (merchant_id) do nothing;

-- name: insert_api_key!
-- Add an API key to a merchant. Keep an existing key unchanged.
insert into api_key (merchant_id, digest, hint) values (:merchant_id, :digest, :hint)
on conflict (digest) do nothing;

-- name: select_any_merchant_id$
-- Return the ID of the first merchant, if any.
select merchant_id from merchant order by merchant_id limit 1;

-- name: select_ipn_secrets^
-- Return a merchant's sealed IPN secret and, during a rotation, the next one.
select
    case when next_ipn_secret_from <= now() then next_ipn_secret else ipn_secret end as ipn_secret,
    case when next_ipn_secret_from > now() then next_ipn_secret end as next_ipn_secret,
    case when next_ipn_secret_from > now() then next_ipn_secret_from end as next_ipn_secret_from
from merchant
where merchant_id = :merchant_id;

-- name: select_merchants_named(name, most)
-- Find merchants by their ID or name.
select merchant_id from merchant where merchant_id::text = :name or name = :name order by merchant_id limit :most;

-- name: update_ipn_secret_next^
-- Begin a rotation of a merchant's IPN secret. Return nothing if one is in progress.
update merchant
set ipn_secret = case when next_ipn_secret_from is null then ipn_secret else next_ipn_secret end,
    next_ipn_secret = :sealed, next_ipn_secret_from = now() + :overlap::interval
where merchant_id = :merchant_id and coalesce(next_ipn_secret_from <= now(), true)
returning next_ipn_secret_from;

-- name: update_ipn_secret_taken^
-- End a rotation: the next IPN secret replaces the current one. Return nothing if no rotation is in progress.
update merchant
set ipn_secret = next_ipn_secret, next_ipn_secret = null, next_ipn_secret_from = null
where merchant_id = :merchant_id and next_ipn_secret_from > now()
returning merchant_id;

-- name: update_ipn_secret_kept^
-- Withdraw the next IPN secret. Return nothing if no rotation is in progress.
update merchant
set next_ipn_secret = null, next_ipn_secret_from = null
where merchant_id = :merchant_id and next_ipn_secret_from > now()
returning merchant_id;

-- name: select_password$
-- Return the password hash of a merchant's user.
select password_hash from portal_user where merchant_id = :merchant_id and email = :email;

-- name: upsert_user!
-- Create a user, or set the password of a user of the same merchant.
insert into portal_user (merchant_id, email, password_hash) values (:merchant_id, :email, :password_hash)
on conflict (email) do update
set password_hash = excluded.password_hash
where portal_user.merchant_id = excluded.merchant_id;

-- name: select_user_by_email^
-- Return a user by email address.
select merchant_id, user_id, password_hash from portal_user where email = :email;

-- name: count_sign_in_attempt^
-- Count an attempt against a budget, and return whether it was within the budget. Attempts past the budget are not
-- counted and do not extend it.
insert into sign_in_budget as b (subject, allowed, used, ends_at)
values (:subject, :allowed, 1, now() + :window::interval)
on conflict (subject) do update
set allowed = excluded.allowed,
    used = case when b.ends_at <= now() then 1 else least(b.used, excluded.allowed) + 1 end,
    ends_at = case when b.ends_at <= now() or b.used < excluded.allowed then excluded.ends_at else b.ends_at end
returning used <= allowed as is_within, greatest(extract(epoch from ends_at - now()), 1)::integer as seconds_left;

-- name: uncount_sign_in_attempt!
-- Subtract a correct password from a budget of wrong ones.
update sign_in_budget set used = greatest(used - 1, 0) where subject = :subject;

-- name: delete_sign_in_budget!
-- Reset the count of wrong passwords after a correct one.
delete from sign_in_budget where subject = :subject;

-- name: insert_sign_in!
-- Record a sign-in attempt.
insert into sign_in (merchant_id, user_id, address, is_accepted) values (:merchant_id, :user_id, :address, :is_accepted);

-- name: insert_session!
-- Create a session.
insert into portal_session (merchant_id, user_id, digest) values (:merchant_id, :user_id, :digest);

-- name: update_session_seen^
-- Renew a session that has not expired, and return its user.
update portal_session s
set seen_at = now()
from portal_user u
join merchant m using (merchant_id)
where s.digest = :digest and s.seen_at > now() - :idle_for::interval and s.created_at > now() - :longest::interval
    and u.merchant_id = s.merchant_id and u.user_id = s.user_id
returning s.merchant_id, s.user_id, u.email, m.name as merchant_name;

-- name: delete_session!
-- End a session.
delete from portal_session where digest = :digest;

-- name: select_offsets
-- Return merchants whose time is ahead of real time, with their offsets.
select merchant_id, clock_offset from merchant where clock_offset > '0';

-- name: select_clock^
-- Return a merchant's time.
select now() + clock_offset as time, clock_offset from merchant where merchant_id = :merchant_id;

-- name: lease_clock^
-- Lease a merchant's clock. Return nothing if another process holds the lease.
update merchant
set clock_lease = :lease, clock_lease_until = now() + make_interval(secs => :lease_seconds)
where merchant_id = :merchant_id and (clock_lease_until is null or clock_lease_until <= now())
returning now() + clock_offset as time, clock_offset;

-- name: advance_clock^
-- Advance a merchant's clock to a moment, record the advance and renew the lease. A past moment advances nothing.
-- Return nothing if the lease was lost.
with moved as (
    update merchant
    set clock_offset = greatest(clock_offset, :until::timestamptz - now()),
        clock_lease_until = now() + make_interval(secs => :lease_seconds)
    where merchant_id = :merchant_id and clock_lease = :lease
    returning merchant_id, clock_offset
),
noted as (
    insert into clock_advance (merchant_id, advanced_at, clock_offset)
    select merchant_id, now(), clock_offset from moved where clock_offset > clock_offset_at_v1(merchant_id, now())
    on conflict (merchant_id, advanced_at) do nothing
)
select now() + clock_offset as time, clock_offset from moved;

-- name: release_clock!
-- Release the lease of a clock, if it is still held.
update merchant
set clock_lease = null, clock_lease_until = null
where merchant_id = :merchant_id and clock_lease = :lease;
