-- One payment of the limit with the first edition's rows (first_edition_schema.sql): two transactions, one statement a round trip.
--
-- Values are in first_edition_values.json; 30 % new consumers, 5 % repeated request ids. Frozen like its tables.

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
select payment_id, digest, status, answer from request_claim
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
    :merchant_id, :id, :site_id, 'cbench-' || :consumer::bigint, :terms::jsonb, :consumer_json::jsonb, :metadata::json,
    :ipn_url, :redirect_url, 'bench-' || :id::bigint, now()
);
insert into transaction (
    merchant_id, transaction_id, payment_id, mode, amount_minor, currency, source, initiator, reason, double_click_digest,
    created_at
)
values (
    :merchant_id, :id, :id, 'sale', 1999, 'USD', :source::jsonb, 'customer', 'one_click', sha256((:id::bigint)::text::bytea),
    now()
);
insert into attempt (
    merchant_id, transaction_id, number, payment_id, acquirer, reference, state, sealed_card, key_version, fingerprint,
    resolve_at, sent_at
)
values (
    :merchant_id, :id, 1, :id, 'approving', :id::bigint || '-1', 'in_flight', :sealed_card::bytea, 1, :fingerprint::bytea,
    now() + interval '11 seconds', now()
);
commit;

begin;
update attempt
set state = 'approved', resolve_at = null, inquiries = 0, sealed_card = null, response_code = '00',
    approval_code = :approval_code
where merchant_id = :merchant_id and transaction_id = :id and number = 1 and state = 'in_flight';
update transaction
set status = 'success', code = '0', network_transaction_id = :network_transaction_id, finished_at = now()
where merchant_id = :merchant_id and transaction_id = :id and status = 'pending';
update request_claim set status = 201, answer = :answer::bytea
where merchant_id = :merchant_id and payment_id = :id and answer is null;
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
    network_transaction_id = coalesce(account.network_transaction_id, excluded.network_transaction_id), updated_at = now();
update consumer set last_account_id = md5((:consumer::bigint)::text)::uuid
where merchant_id = :merchant_id and consumer_id = 'cbench-' || :consumer::bigint
    and last_account_id is distinct from md5((:consumer::bigint)::text)::uuid;
insert into ledger_entry (merchant_id, transaction_id, number, debit, credit, amount_minor, currency)
values (:merchant_id, :id, 1, 'money.acquirers', 'money.merchants', 1999, 'USD')
on conflict do nothing;
insert into event (
    merchant_id, payment_id, transaction_id, site_id, kind, status, url, format, body, request_id
)
values (
    :merchant_id, :id, :id, :site_id, 'sale', 'success', :ipn_url, 'json', :body::bytea, 'bench-' || :id::bigint
);
commit;

\endif
