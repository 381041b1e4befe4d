-- Tables of: catalog, merchants, payments, threeds.

-- name: limit_time$
-- Limit the time of each statement of this database transaction: a search may have to read every payment of a merchant.
select set_config('statement_timeout', cast(:milliseconds::integer as text), true);

-- name: select_payments
-- List a merchant's transactions after a cursor, newest payment first. Filter days by the time that the list shows.
select
    t.payment_id, t.transaction_id, p.created_at, t.created_at as begun_at, t.finished_at, t.mode::text, t.status::text,
    o.dispute_step::text, t.code, t.amount_minor, t.currency, t.brand, t.masked_number as card_number,
    coalesce(p.consumer ->> 'email', '') as email, coalesce(p.terms -> 'items' -> 0 ->> 'title', '') as title
from payment p
join transaction t using (merchant_id, payment_id)
left join operation o on o.merchant_id = t.merchant_id and o.transaction_id = t.transaction_id
where
    p.merchant_id = :merchant_id and t.merchant_id = :merchant_id
    and p.created_at <= :created_at
    and (p.created_at, p.payment_id, t.transaction_id) < (:created_at, :payment_id, :transaction_id)
    and (
        :status::text = ''
        or :status = 'chargeback' and o.dispute_step is not null
        or t.status::text = :status and o.dispute_step is null
    )
    and coalesce(t.finished_at, t.created_at) >= :since and coalesce(t.finished_at, t.created_at) < :until
    and (:email::text = '' or lower(p.consumer ->> 'email') = :email)
order by p.created_at desc, p.payment_id desc, t.transaction_id desc
limit :max_rows;

-- name: select_payments_of_order
-- List the transactions of one payment, newest first.
select
    t.payment_id, t.transaction_id, p.created_at, t.created_at as begun_at, t.finished_at, t.mode::text, t.status::text,
    o.dispute_step::text, t.code, t.amount_minor, t.currency, t.brand, t.masked_number as card_number,
    coalesce(p.consumer ->> 'email', '') as email, coalesce(p.terms -> 'items' -> 0 ->> 'title', '') as title
from payment p
join transaction t using (merchant_id, payment_id)
left join operation o on o.merchant_id = t.merchant_id and o.transaction_id = t.transaction_id
where
    p.merchant_id = :merchant_id and p.payment_id = :payment_id and t.merchant_id = :merchant_id
    and (
        :status::text = ''
        or :status = 'chargeback' and o.dispute_step is not null
        or t.status::text = :status and o.dispute_step is null
    )
    and coalesce(t.finished_at, t.created_at) >= :since and coalesce(t.finished_at, t.created_at) < :until
    and (:email::text = '' or lower(p.consumer ->> 'email') = :email)
order by t.transaction_id desc
limit :max_rows;

-- name: select_payment^
-- Return one transaction of a merchant with its payment, site and operation.
select
    t.payment_id, t.transaction_id, p.created_at, t.created_at as begun_at, t.finished_at, t.mode::text, t.status::text,
    o.dispute_step::text, t.code, t.amount_minor, t.currency, t.brand, t.masked_number as card_number,
    coalesce(p.consumer ->> 'email', '') as email, coalesce(p.terms -> 'items' -> 0 ->> 'title', '') as title,
    o.excess_minor, o.basis_id, o.reason as given_reason, p.site_id, coalesce(s.name, '') as site_name, coalesce(p.terms -> 'items' -> 0 ->> 'skuName', '') as sku_name,
    p.terms ->> 'descriptor' as descriptor, p.consumer_id, p.consumer, json_build_object(
        'kind', t.source_kind, 'brand', t.brand, 'number', t.masked_number, 'expiryMonth', t.expiry_month,
        'expiryYear', t.expiry_year, 'accountId', t.account_id, 'isStored', t.is_stored
    ) as source, t.initiator::text, t.reason::text,
    p.request_id, p.ipn_url, p.redirect_url, p.metadata
from transaction t
join payment p using (merchant_id, payment_id)
left join operation o on o.merchant_id = t.merchant_id and o.transaction_id = t.transaction_id
left join site s on s.merchant_id = p.merchant_id and s.site_id = p.site_id
where t.merchant_id = :merchant_id and t.transaction_id = :transaction_id and p.merchant_id = :merchant_id;

-- name: select_attempts
-- List the attempts of a transaction, oldest first.
select
    number, acquirer, reference, state::text, merchant_time_v1(merchant_id, sent_at) as sent_at, response_code, advice_code,
    approval_code, inquiries
from attempt
where merchant_id = :merchant_id and transaction_id = :transaction_id
order by number
limit :max_rows;

-- name: select_authentications
-- List the 3-D Secure authentications of a transaction, oldest first. Message IDs are shown after the authentication ended.
select
    merchant_time_v1(merchant_id, created_at) as created_at, state::text, version, trans_status, status_reason, eci,
    case when state in ('passed', 'failed', 'abandoned', 'superseded') then ds_trans_id::text end as ds_trans_id
from authentication
where merchant_id = :merchant_id and transaction_id = :transaction_id
order by authentication.created_at, number
limit :max_rows;

-- name: select_api_keys
-- List a merchant's API keys, newest first.
select hint, created_at, expires_at, allowed_networks
from api_key
where merchant_id = :merchant_id
order by created_at desc, key_id desc
limit :max_rows;

-- name: select_sign_ins
-- List sign-in attempts of a merchant's users, newest first.
select s.signed_in_at, s.address, s.is_accepted, u.email
from sign_in s
join portal_user u using (merchant_id, user_id)
where s.merchant_id = :merchant_id
order by s.sign_in_id desc
limit :max_rows;

-- name: select_sites
-- List a merchant's sites by name.
select
    site_id, name, ipn_url, redirect_url, descriptor, three_ds::text, ipn_format::text, cors_enabled, delayed_capture,
    guards_double_clicks, is_enabled
from site
where merchant_id = :merchant_id
order by name, site_id
limit :max_rows;

-- name: select_skus
-- List a merchant's SKUs by name.
select site_id, name, title, kind::text, prices
from sku
where merchant_id = :merchant_id
order by name
limit :max_rows;
