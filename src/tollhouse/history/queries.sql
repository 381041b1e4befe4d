-- Tables of: billing, ledger, merchants, payments, threeds.
--
-- Each query reads the rows that one package wrote about a transaction. Every result is bounded. Times are the merchant's; real
-- times are converted to the merchant's time of that moment.

-- name: select_transaction^
-- Return the transaction and its payment, the cause of an operation, and the period of a renewal.
select
    t.transaction_id, t.payment_id, t.mode::text, t.status::text, t.amount_minor, t.currency, json_build_object(
        'kind', t.source_kind, 'brand', t.brand, 'number', t.masked_number, 'expiryMonth', t.expiry_month,
        'expiryYear', t.expiry_year, 'accountId', t.account_id, 'isStored', t.is_stored
    ) as source, t.initiator::text,
    t.reason::text, t.code, t.created_at, t.finished_at, t.page_try, coalesce(o.request_id, p.request_id) as request_id,
    p.terms, p.consumer_id, o.basis_id, o.cause::text, o.reason as given_reason,
    o.dispute_step::text, o.moved_minor, o.excess_minor, r.subscription_id, r.period, r.try
from transaction t
join payment p on p.merchant_id = t.merchant_id and p.payment_id = t.payment_id
left join operation o on o.merchant_id = t.merchant_id and o.transaction_id = t.transaction_id
left join renewal r on r.merchant_id = t.merchant_id and r.transaction_id = t.transaction_id
where t.merchant_id = :merchant_id and t.transaction_id = :transaction_id;

-- name: select_attempts
-- Return the attempts at acquirers.
select
    number, acquirer, reference, state::text, merchant_time_v1(merchant_id, sent_at) as sent_at, sent_at as real_at, inquiries,
    response_code, advice_code, approval_code
from attempt
where merchant_id = :merchant_id and transaction_id = :transaction_id
order by number
limit :most;

-- name: select_steps
-- Return the steps of the attempts.
select number, merchant_time_v1(merchant_id, at) as at, at as real_at, left_state::text, reached_state::text, response_code
from attempt_step
where merchant_id = :merchant_id and transaction_id = :transaction_id
order by step_id
limit :most;

-- name: select_reversals
-- Return the references that were reversed after the transaction finished without the acquirer's response, or against
-- it.
select
    number, acquirer, reference, reason::text, approval_code, merchant_time_v1(merchant_id, opened_at) as opened_at,
    merchant_time_v1(merchant_id, approved_at) as approved_at, merchant_time_v1(merchant_id, acknowledged_at) as acknowledged_at
from reversal
where merchant_id = :merchant_id and transaction_id = :transaction_id
order by number
limit :most;

-- name: select_authentications
-- Return the 3-D Secure authentications, without their authentication values.
select
    number, attempt_number, state::text, version, challenge_indicator,
    merchant_time_v1(merchant_id, created_at) as created_at,
    merchant_time_v1(merchant_id, method_completed_at) as method_completed_at,
    merchant_time_v1(merchant_id, requested_at) as requested_at,
    merchant_time_v1(merchant_id, answered_at) as answered_at,
    merchant_time_v1(merchant_id, opened_at) as opened_at,
    merchant_time_v1(merchant_id, result_at) as result_at, trans_status, status_reason, eci, three_ds_server_trans_id::text, ds_trans_id::text,
    acs_trans_id::text, acs_url is not null as has_page
from authentication
where merchant_id = :merchant_id and transaction_id = :transaction_id
order by authentication.created_at, number
limit :most;

-- name: select_ledger_entries
-- Return the ledger entries.
select number, debit::text, credit::text, amount_minor, currency, merchant_time_v1(merchant_id, posted_at) as posted_at
from ledger_entry
where merchant_id = :merchant_id and transaction_id = :transaction_id
order by number
limit :most;
