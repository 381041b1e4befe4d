-- The tables of the limit with the first edition's rows: what a card payment wrote on 29 November 2026, with its types, constraints and
-- indexes. Frozen: the gateway's schema changes, this does not. Written once for pgbench (first_edition_limit.sql), in an empty database.

create type attempt_state as enum ('in_flight', 'challenged', 'unknown', 'reversing', 'approved', 'declined', 'not_sent', 'reversed');
create type initiation_reason as enum ('one_click', 'recurring', 'unscheduled');
create type initiator as enum ('customer', 'merchant');
create type ipn_format as enum ('json', 'legacy', 'both', 'plugin', 'none');
create type ledger_account as enum ('holds.issuers', 'holds.merchants', 'money.acquirers', 'money.merchants', 'money.credits', 'money.chargebacks');
create type transaction_mode as enum ('sale', 'auth', 'capture', 'void', 'credit', 'chargeback', 'payout');
create type transaction_status as enum ('pending', 'success', 'confirmed', 'fail');

create table request_claim (
    merchant_id bigint not null,
    operation text not null,
    request_id text not null,
    digest bytea not null,
    payment_id bigint,
    status smallint,
    answer bytea,
    created_at timestamptz not null default now(),
    transaction_id bigint,
    primary key (merchant_id, operation, request_id)
);
create index request_claim_payment on request_claim (merchant_id, payment_id);

create table merchant (merchant_id bigint primary key);
insert into merchant values (1);

create table consumer (
    merchant_id bigint not null,
    consumer_id text not null,
    external_id text,
    profile jsonb not null default '{}',
    last_account_id uuid,
    created_at timestamptz not null default now(),
    group_id smallint not null default 3,
    updated_at timestamptz not null default now(),
    has_paid boolean not null default false,
    primary key (merchant_id, consumer_id),
    foreign key (merchant_id) references merchant(merchant_id),
    check (((length(consumer_id) >= 5) and (length(consumer_id) <= 36))),
    check (((length(external_id) >= 1) and (length(external_id) <= 255))),
    check (((group_id >= 1) and (group_id <= 5)))
);
create unique index consumer_external_id_unique on consumer (merchant_id, external_id) where (external_id is not null);

create table payment (
    merchant_id bigint not null,
    payment_id bigint not null,
    site_id bigint not null,
    consumer_id text not null,
    terms jsonb not null,
    consumer jsonb not null,
    metadata json not null,
    ipn_url text not null,
    redirect_url text not null,
    request_id text not null,
    created_at timestamptz not null,
    primary key (merchant_id, payment_id)
);
create index payment_recent on payment (merchant_id, created_at, payment_id);
create index payment_consumer on payment (consumer_id, merchant_id);

create table transaction (
    merchant_id bigint not null,
    transaction_id bigint not null,
    payment_id bigint not null,
    mode transaction_mode not null,
    status transaction_status not null default 'pending',
    amount_minor bigint not null,
    currency text not null,
    source jsonb not null,
    initiator initiator not null,
    reason initiation_reason not null,
    code text,
    network_transaction_id text,
    double_click_digest bytea,
    created_at timestamptz not null,
    finished_at timestamptz,
    page_try smallint,
    primary key (merchant_id, transaction_id),
    check ((amount_minor >= 0)),
    check (((code is not null) or (status = 'pending'))),
    check (((finished_at is null) = (status = 'pending'))),
    check ((length(currency) = 3)),
    check ((page_try > 0))
);
create index transaction_payment on transaction (merchant_id, payment_id);
create unique index transaction_double_click on transaction (merchant_id, double_click_digest) where ((status = 'pending') and (double_click_digest is not null));
create unique index transaction_page_try on transaction (merchant_id, payment_id, page_try) where (page_try is not null);
create unique index transaction_page_charge on transaction (merchant_id, payment_id) where ((page_try is not null) and (status <> 'fail'));
create unique index transaction_capture_unique on transaction (merchant_id, payment_id) where ((mode = 'capture') and (status <> 'fail'));
create unique index transaction_void_unique on transaction (merchant_id, payment_id) where ((mode = 'void') and (status <> 'fail'));
create index transaction_later on transaction (merchant_id, created_at, transaction_id) where ((mode <> all (array['sale', 'auth']::transaction_mode[])) or (page_try > 1));
create index transaction_finished_late on transaction (merchant_id, created_at, transaction_id) where ((finished_at - created_at) > interval '01:00:00');

create table attempt (
    merchant_id bigint not null,
    transaction_id bigint not null,
    number smallint not null,
    payment_id bigint not null,
    acquirer text not null,
    reference text not null,
    state attempt_state not null,
    sealed_card bytea,
    key_version integer,
    fingerprint bytea,
    resolve_at timestamptz,
    inquiries integer not null default 0,
    sent_at timestamptz not null,
    response_code text,
    advice_code text,
    approval_code text,
    moved_by uuid,
    primary key (merchant_id, transaction_id, number),
    check ((((state)::text = any (array['in_flight', 'challenged', 'unknown', 'reversing'])) or ((sealed_card is null) and (resolve_at is null))))
);
create index attempt_due on attempt (resolve_at) where (resolve_at is not null);

create table account (
    merchant_id bigint not null,
    account_id uuid not null,
    consumer_id text not null,
    fingerprint bytea not null,
    key_version integer not null,
    sealed_card bytea not null,
    brand text not null,
    masked_number text not null,
    expiry_month smallint not null,
    expiry_year smallint not null,
    disabled boolean not null default false,
    network_transaction_id text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    replaced_by uuid,
    primary key (merchant_id, account_id),
    check (((expiry_month >= 1) and (expiry_month <= 12))),
    check ((masked_number ~ '^\d{4}(\d\d)?\*{4}\d{4}$')),
    check ((replaced_by <> account_id))
);
create index account_by_id on account (account_id);
create index account_replaced_by on account (merchant_id, replaced_by) where (replaced_by is not null);
create index account_consumer on account (consumer_id, merchant_id);
create index account_fingerprint on account (merchant_id, fingerprint);

create table ledger_entry (
    merchant_id bigint not null,
    transaction_id bigint not null,
    number smallint not null,
    debit ledger_account not null,
    credit ledger_account not null,
    amount_minor bigint not null,
    currency text not null,
    posted_at timestamptz not null default now(),
    primary key (merchant_id, transaction_id, number),
    check ((amount_minor > 0)),
    check ((length(currency) = 3)),
    check (((((((((debit = 'holds.issuers') and (credit = 'holds.merchants')) or ((debit = 'holds.merchants') and (credit = 'holds.issuers'))) or ((debit = 'money.acquirers') and (credit = 'money.merchants'))) or ((debit = 'money.merchants') and (credit = 'money.acquirers'))) or ((debit = 'money.credits') and (credit = 'money.acquirers'))) or ((debit = 'money.chargebacks') and (credit = 'money.acquirers'))) or ((debit = 'money.acquirers') and (credit = 'money.chargebacks')))),
    check ((number > 0))
);
create function refuse_change() returns trigger language plpgsql as $$
begin
    raise 'entries of the ledger are final';
end
$$;
create trigger ledger_entry_is_final before delete or update on ledger_entry for each row execute function refuse_change();

create table event (
    merchant_id bigint not null,
    event_id bigint not null generated by default as identity,
    payment_id bigint,
    transaction_id bigint,
    subscription_id bigint,
    site_id bigint,
    kind text not null,
    status text,
    url text not null,
    format ipn_format not null default 'json',
    body bytea not null,
    request_id text,
    created_at timestamptz not null default now(),
    sequence bigint,
    legacy_xml bytea,
    primary key (merchant_id, event_id)
) with (autovacuum_vacuum_scale_factor = 0.02);
create index event_unnumbered on event (event_id) where (sequence is null);
create unique index event_sequence_unique on event (merchant_id, sequence) where (sequence is not null);
create index event_payment on event (merchant_id, payment_id) where (sequence is not null);
create unique index event_fact_unique on event (merchant_id, transaction_id, status) where (transaction_id is not null);
