-- Tables of: catalog, merchants, payments.

-- name: insert_link!
-- Create a link that expires after a number of seconds, in the merchant's time.
insert into payment_link (merchant_id, payment_id, digest, terms, request_id, created_at, expires_at)
select merchant_id, :payment_id, :digest, :terms::jsonb, :request_id, now() + clock_offset,
    now() + clock_offset + make_interval(secs => :seconds)
from merchant
where merchant_id = :merchant_id;

-- name: select_link^
-- Find a link by the key in its URL, with the design of its site and its newest attempt.
select l.merchant_id, l.payment_id, l.request_id, l.terms, l.created_at, l.expires_at,
    l.expires_at <= now() + m.clock_offset as is_expired, m.state = 'active' as is_merchant_active,
    now() + m.clock_offset as merchant_time, s.name as site_name, s.redirect_url as site_redirect_url, s.extras as design, t.transaction_id
from payment_link l
join merchant m using (merchant_id)
left join site s on s.merchant_id = l.merchant_id and s.site_id = (l.terms -> 'items' -> 0 ->> 'siteId')::bigint
left join lateral (
    select transaction_id from transaction t
    where t.merchant_id = l.merchant_id and t.payment_id = l.payment_id and t.page_try is not null
    order by t.page_try desc
    limit 1
) t on true
where l.digest = :digest;

-- name: select_language$
-- Return the language of a payment's page, or nothing.
select terms ->> 'language'
from payment_link
where merchant_id = :merchant_id and payment_id = :payment_id;

-- name: renew_link!
-- Set the expiry of a link, in seconds from now, in the merchant's time.
update payment_link l
set expires_at = now() + m.clock_offset + make_interval(secs => :seconds)
from merchant m
where m.merchant_id = l.merchant_id and l.merchant_id = :merchant_id and l.payment_id = :payment_id;

-- name: lock_repayment$
-- Lock and return the payment that repays a chargeback. The first call stores the given one.
insert into repayment (merchant_id, transaction_id, payment_id)
values (:merchant_id, :transaction_id, :payment_id)
on conflict (merchant_id, transaction_id) do update set payment_id = repayment.payment_id
returning payment_id;

-- name: update_repayment!
-- Replace the payment that repays a chargeback.
update repayment
set payment_id = :payment_id
where merchant_id = :merchant_id and transaction_id = :transaction_id;

-- name: delete_old_links(kept, most)$
-- Delete some links long after their expiry. Links of repayments are kept, because they show whether the repayment was
-- made. By real time: if the merchant's time is ahead, links are kept a while longer.
with gone as (
    delete from payment_link
    where ctid = any(array(
        select ctid from payment_link
        where expires_at < now() - :kept::interval
            and not exists (
                select from repayment r
                where r.merchant_id = payment_link.merchant_id and r.payment_id = payment_link.payment_id
            )
        order by expires_at
        limit :most
        for update skip locked
    ))
    returning 1
)
select count(*)::integer from gone;

-- name: select_links_lag(kept)$
-- Return how long the oldest link has been overdue.
select extract(epoch from now() - :kept::interval - expires_at)::double precision
from payment_link
where not exists (
    select from repayment r
    where r.merchant_id = payment_link.merchant_id and r.payment_id = payment_link.payment_id
)
order by expires_at
limit 1;
