-- Tables of: merchants.

-- name: count_message^
-- Count a message of a merchant, or to one of its phones, in the current window or a new one.
insert into phone_quota as known (merchant_id, subject, used, ends_at)
values (:merchant_id, :subject, 1, now() + :span::interval)
on conflict (merchant_id, subject) do update
set used = case when known.ends_at <= now() then 1 else known.used + 1 end,
    ends_at = case when known.ends_at <= now() then excluded.ends_at else known.ends_at end
returning used, ends_at - now() as left_over;

-- name: insert_code$
-- Store a code in place of the previous one, and return its expiry in the merchant's time: a whole second, as
-- published.
insert into phone_code (merchant_id, phone_digest, code_digest, tries_left, expires_at)
select merchant_id, :phone_digest, :code_digest, :tries, date_trunc('second', now() + clock_offset) + :life::interval
from merchant
where merchant_id = :merchant_id
on conflict (merchant_id, phone_digest) do update
set code_digest = excluded.code_digest, tries_left = excluded.tries_left, expires_at = excluded.expires_at
returning expires_at;

-- name: lock_code^
-- Lock the usable code of a phone and return it.
select c.code_digest, c.tries_left
from phone_code c
join merchant m using (merchant_id)
where c.merchant_id = :merchant_id and c.phone_digest = :phone_digest and c.tries_left > 0
    and c.expires_at > now() + m.clock_offset
for update of c;

-- name: count_attempt!
-- Count an attempt at a code.
update phone_code set tries_left = tries_left - 1 where merchant_id = :merchant_id and phone_digest = :phone_digest;

-- name: delete_code!
-- Delete a code that was used or whose message was not sent.
delete from phone_code
where merchant_id = :merchant_id and phone_digest = :phone_digest and code_digest = :code_digest;
