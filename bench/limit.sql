-- The limit: the rows of one payment, as two transactions, written by pgbench with nothing around them.
--
-- The same tables, indexes and columns as a card payment of the gateway, with values that were taken from a real one
-- (bench/limit.py); 30 % new consumers, 5 % repeated request ids. One statement is one round trip, as from a gateway that
-- writes each payment by itself.

\set n :n + 1
\set id :base + :client_id * 1000000 + :n
\set is_repeat :n > 256 and random(1, 100) <= 5
\if :is_repeat

\set id :id - random(1, 256)
begin;
insert into request_claim (merchant_id, operation, request_id, digest, payment_id)
values (:merchant_id, 'payment', 'bench-' || :id::bigint, :digest::bytea, :id)
on conflict do nothing;
commit;
select payment_id, digest, status, coalesce(answer, final_response_v1(merchant_id, payment_id, transaction_id))
from request_claim
where merchant_id = :merchant_id and operation = 'payment' and request_id = 'bench-' || :id::bigint;

\else

\set is_new random(1, 100) <= 30
\if :is_new
\set consumer :id
\else
\set consumer random(1, 2000)
\endif

begin;
insert into request_claim (merchant_id, operation, request_id, digest, payment_id)
values (:merchant_id, 'payment', 'bench-' || :id::bigint, :digest::bytea, :id)
on conflict do nothing;
insert into consumer (merchant_id, consumer_id, external_id, profile)
values (:merchant_id, 'cbench-' || :consumer::bigint, 'bench-' || :consumer::bigint, :profile::jsonb)
on conflict do nothing;
insert into payment (
    merchant_id, payment_id, site_id, consumer_id, terms, consumer, metadata, ipn_url, redirect_url, request_id, created_at
)
values (
    :merchant_id, :id, :site_id, 'cbench-' || :consumer::bigint, :terms::json, :consumer_json::json, :metadata::json,
    :ipn_url, :redirect_url, 'bench-' || :id::bigint, now()
);
insert into transaction (
    merchant_id, transaction_id, payment_id, mode, amount_minor, currency, source_kind, brand, masked_number, expiry_month,
    expiry_year, account_id, is_stored, initiator, reason, created_at
)
values (
    :merchant_id, :id, :id, 'sale', 1999, 'USD', 'card', 'visa', :masked_number, 12, 2030, md5((:consumer::bigint)::text)::uuid,
    false, 'customer', 'one_click', now()
);
insert into open_attempt (
    merchant_id, transaction_id, number, payment_id, acquirer, reference, state, sealed_card, key_version, fingerprint,
    double_click_digest, resolve_at, sent_at
)
values (
    :merchant_id, :id, 1, :id, 'approving', :id::bigint || '-1', 'in_flight', :sealed_card::bytea, 1, :fingerprint::bytea,
    sha256((:id::bigint)::text::bytea), now() + interval '11 seconds', now()
);
commit;

begin;
with closed as (
    delete from open_attempt
    where merchant_id = :merchant_id and transaction_id = :id and number = 1 and state = 'in_flight'
    returning merchant_id, transaction_id, sent_at, number, acquirer
)
insert into closed_attempt (
    merchant_id, transaction_id, sent_at, state, number, moved_by, acquirer, response_code, approval_code
)
select merchant_id, transaction_id, sent_at, 'approved', number, gen_random_uuid(), acquirer, '00', :approval_code
from closed;
update transaction
set status = 'success', code = '0', network_transaction_id = :network_transaction_id, finished_at = now()
where merchant_id = :merchant_id and transaction_id = :id and status = 'pending';
insert into account (
    merchant_id, account_id, consumer_id, fingerprint, key_version, sealed_card, brand, masked_number, expiry_month,
    expiry_year, network_transaction_id
)
values (
    :merchant_id, md5((:consumer::bigint)::text)::uuid, 'cbench-' || :consumer::bigint, :fingerprint::bytea, 1,
    :sealed_card::bytea, 'visa', :masked_number, 12, 2030, :network_transaction_id
)
on conflict (merchant_id, account_id) do update
set key_version = excluded.key_version, sealed_card = excluded.sealed_card, expiry_month = excluded.expiry_month,
    expiry_year = excluded.expiry_year,
    network_transaction_id = coalesce(account.network_transaction_id, excluded.network_transaction_id);
update consumer set last_account_id = md5((:consumer::bigint)::text)::uuid
where merchant_id = :merchant_id and consumer_id = 'cbench-' || :consumer::bigint
    and last_account_id is distinct from md5((:consumer::bigint)::text)::uuid;
insert into ledger_entry (merchant_id, transaction_id, number, debit, credit, amount_minor, currency)
values (:merchant_id, :id, 1, 'money.acquirers', 'money.merchants', 1999, 'USD')
on conflict do nothing;
with recorded as (
    insert into event (
        merchant_id, payment_id, transaction_id, site_id, kind, status, url, format, body, answer_length, request_id
    )
    values (
        :merchant_id, :id, :id, :site_id, 'sale', 'success', :ipn_url, 'json', :body::bytea, :answer_length,
        'bench-' || :id::bigint
    )
    returning position
)
insert into unnumbered_event select position from recorded;
commit;

\endif
