-- Each query reads what one package wrote about a transaction. Every one is bounded.

-- name: select_transaction^
-- The transaction, its purchase, and of an operation why it was begun.
select
    t.transaction_id, t.payment_id, t.mode::text, t.status::text, t.amount_minor, t.currency, t.source, t.initiator::text,
    t.reason::text, t.code, t.created_at, t.settled_at, t.page_try, coalesce(o.request_id, p.request_id) as request_id,
    p.terms, p.consumer_id, o.basis_id, o.cause::text, o.reason as given_reason
from transaction t
join payment p on p.merchant_id = t.merchant_id and p.payment_id = t.payment_id
left join operation o on o.merchant_id = t.merchant_id and o.transaction_id = t.transaction_id
where t.merchant_id = :merchant_id and t.transaction_id = :transaction_id;

-- name: select_attempts
-- The tries at acquirers.
select number, acquirer, reference, state::text, sent_at, inquiries, response_code, advice_code, approval_code
from attempt
where merchant_id = :merchant_id and transaction_id = :transaction_id
order by number
limit :most;

-- name: select_steps
-- What the tries went through.
select number, at, left_state::text, reached_state::text, response_code
from attempt_step
where merchant_id = :merchant_id and transaction_id = :transaction_id
order by step_id
limit :most;

-- name: select_authentications
-- The 3-D Secure authentications, without the proof of any.
select
    number, attempt_number, state::text, version, challenge_indicator, created_at, method_completed_at, requested_at,
    answered_at, opened_at, result_at, trans_status, status_reason, eci, three_ds_server_trans_id::text, ds_trans_id::text,
    acs_trans_id::text, acs_url is not null as has_page
from authentication
where merchant_id = :merchant_id and transaction_id = :transaction_id
order by created_at, number
limit :most;

-- name: select_ledger_entries
-- What was posted in the books.
select number, debit::text, credit::text, amount_minor, currency, posted_at
from ledger_entry
where merchant_id = :merchant_id and transaction_id = :transaction_id
order by number
limit :most;
