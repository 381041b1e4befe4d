-- Tables of: merchants.

-- name: insert_security_codes!
-- Store sealed security codes, each with its holder.
insert into security_code (holder_id, sealed, expires_at)
select * from unnest(:holder_ids::uuid[], :sealed::bytea[], :expires_at::timestamptz[])
on conflict do nothing;

-- name: select_security_code^
-- Return the sealed security code of a holder.
select sealed, expires_at from security_code where holder_id = :holder_id;

-- name: update_expired_tokens(most)$
-- Erase the cards of some tokens that expired unused, and count them.
with emptied as (
    update token set sealed_card = null
    where ctid = any(array(
        select ctid from token
        where expires_at <= now() and sealed_card is not null
        order by expires_at
        limit :most
        for update skip locked
    ))
    returning 1
)
select count(*)::integer from emptied;

-- name: select_token_cards_lag()$
-- Return how long the oldest card of an expired token has been overdue.
select extract(epoch from now() - expires_at)::double precision
from token
where sealed_card is not null
order by expires_at
limit 1;

-- name: insert_tokens$
-- Store tokens and return the database's time.
with stored as (
    insert into token (token_id, merchant_id, account_id, sealed_card, expires_at)
    select * from unnest(
        :token_ids::uuid[], :merchant_ids::bigint[], :account_ids::uuid[], :sealed_cards::bytea[],
        :expires_at::timestamptz[]
    )
    on conflict do nothing
)
select clock_timestamp();

-- name: select_token^
-- Return a token with its sealed card and, if there is one, its sealed security code. The token ages by real time and
-- by the advance of the using merchant's clock since the token was made, so that it expires that much earlier: at the
-- second that was published.
select t.merchant_id, t.account_id, t.sealed_card, t.used_by,
    date_trunc('second', t.expires_at) - coalesce(
        m.clock_offset - clock_offset_at_v1(m.merchant_id, t.expires_at - :life::interval), '0'
    ) as expires_at,
    c.sealed as sealed_code, c.expires_at as code_expires_at
from token t
left join merchant m on m.merchant_id = :merchant_id and m.clock_offset > '0'
left join security_code c on c.holder_id = t.token_id
where t.token_id = :token_id;

-- name: select_account_holder^
-- Return the owner of a stored card, of any merchant. The card's ID cannot be guessed, and the consumer's ID must
-- match.
select merchant_id, brand, m.state = 'active' as is_merchant_active
from account join merchant m using (merchant_id)
where account_id = :account_id and consumer_id = :consumer_id;

-- name: select_accounts
-- List a consumer's stored cards without replaced ones, newest first, after the given one if there is one.
select account_id, brand, masked_number, expiry_month, expiry_year, disabled
from account
where merchant_id = :merchant_id and consumer_id = :consumer_id and replaced_by is null
    and (
        :after::uuid is null
        or (created_at, account_id) < (
            select created_at, account_id from account
            where merchant_id = :merchant_id and consumer_id = :consumer_id and account_id = :after
        )
    )
order by created_at desc, account_id desc
limit :most;

-- name: update_account_disabled$
-- Enable or disable a stored card for payments, under its own ID and those that it replaced. Return whether the card
-- exists.
with good as (
    select coalesce(replaced_by, account_id) as account_id
    from account
    where merchant_id = :merchant_id and account_id = :account_id
),
locked as (
    select a.account_id
    from account a
    join good on a.account_id = good.account_id or a.replaced_by = good.account_id
    where a.merchant_id = :merchant_id
    order by a.account_id
    for no key update of a
)
update account a
set disabled = :disabled
from locked
where a.merchant_id = :merchant_id and a.account_id = locked.account_id
returning true;

-- name: lock_replacements!
-- Prevent other updates from replacing stored cards of a consumer until this database transaction ends. Row locks do
-- not suffice: an update that began earlier does not see the replacement, and would lock it after the card that it replaces.
select pg_advisory_xact_lock(hashtextextended(:merchant_id::bigint || ' replaces ' || :consumer_id::text, 0));

-- name: lock_accounts!
-- Lock these stored cards and the cards they replaced.
select
from account
where merchant_id = :merchant_id and (account_id = any(:account_ids::uuid[]) or replaced_by = any(:account_ids::uuid[]))
order by account_id
for no key update;

-- name: update_account_expiry!
-- Update the expiry of a stored card.
update account
set
    key_version = :key_version,
    sealed_card = :sealed_card,
    expiry_month = :expiry_month,
    expiry_year = :expiry_year
where merchant_id = :merchant_id and account_id = :account_id;

-- name: insert_replacement!
-- Store the replacement of a card with the network transaction ID of the old one. A replacement that is already stored
-- keeps its own.
insert into account (
    merchant_id, account_id, consumer_id, fingerprint, key_version, sealed_card, brand, masked_number,
    expiry_month, expiry_year, network_transaction_id, disabled
)
select
    old.merchant_id, :account_id, old.consumer_id, :fingerprint, :key_version, :sealed_card, :brand, :masked_number,
    :expiry_month, :expiry_year, old.network_transaction_id, old.disabled
from account old
where old.merchant_id = :merchant_id and old.account_id = :replaced_id
on conflict (merchant_id, account_id) do update
set key_version = excluded.key_version,
    sealed_card = excluded.sealed_card,
    expiry_month = excluded.expiry_month,
    expiry_year = excluded.expiry_year,
    network_transaction_id = coalesce(account.network_transaction_id, excluded.network_transaction_id),
    replaced_by = null;

-- name: update_accounts_replaced!
-- Record the replacement of a stored card, and of the cards that it had replaced.
update account
set replaced_by = :account_id
where merchant_id = :merchant_id and (account_id = :replaced_id or replaced_by = :replaced_id)
    and account_id <> :account_id;

-- name: insert_key_check!
-- Store the value that identifies this database's keys, when they are first used.
insert into key_check (sealed) values (:sealed) on conflict do nothing;

-- name: select_key_check$
-- Return the value that identifies this database's keys.
select sealed from key_check;
