-- The simulated parties: the issuer's journal and balances, authentications, disputes, and test payment data. No card number of a
-- published card: it is stored by its name.

create type journal_kind as enum (
    'sale',
    'authorization',
    'verification',
    'reversal',      -- -> sale | authorization | verification, if the authorization arrives after its reversal
    'capture',
    'void',
    'credit'
);

-- One row for each acquirer reference ever received. The issuer took money if approval_code is set and reversed_at is null.
create table journal (
    reference text primary key collate "C",
    kind journal_kind not null,
    -- As a card number may be shown; null until an authorization arrives.
    masked_number text,
    -- Null also for a number that is not published.
    card_name text,
    amount_minor bigint check (amount_minor >= 0),
    currency text,
    response_code text,
    advice_code text,
    -- Set if and only if the issuer approved.
    approval_code text,
    network_transaction_id text,
    -- The network transaction ID in a merchant-initiated charge, right or wrong; null for consumer-initiated ones.
    agreement text,
    -- The proof of authentication in the request, right or wrong.
    cavv text,
    -- The merchant that the authorization was for, as named by the gateway (ISO 8583 field 42), so that each sees its own.
    acceptor text not null default '',
    -- The authorization or sale that a capture, void or refund acts on; null for all others.
    original_reference text collate "C",
    -- Of an authorization: the amounts captured, and released without capture. A sale is captured at once.
    captured_minor bigint not null default 0 check (captured_minor >= 0),
    released_minor bigint not null default 0 check (released_minor >= 0),
    -- The amount refunded.
    credited_minor bigint not null default 0 check (credited_minor >= 0),
    -- How often the authorization arrived; 0 while only its reversal did.
    deliveries integer not null check (deliveries >= 0),
    received_at timestamptz not null default now(),
    reversed_at timestamptz,
    -- When a void ended it.
    voided_at timestamptz,
    constraint journal_known check (
        kind = 'reversal'
        or ((amount_minor, currency, response_code) is not null and coalesce(masked_number, original_reference) is not null)
    ),
    constraint journal_on_another check (
        original_reference is null or kind not in ('sale', 'authorization', 'verification', 'reversal')
    ),
    constraint journal_reversed_before_arrival check ((kind = 'reversal') = (deliveries = 0)),
    constraint journal_reversal_has_time check (kind <> 'reversal' or reversed_at is not null)
);

-- Lists the latest rows.
create index journal_received on journal (received_at);
-- Lists the rows of a merchant.
create index journal_acceptor on journal (acceptor, received_at) where acceptor <> '';
-- Returns whether a network transaction ID was issued: only approvals of consumer-initiated charges have one.
create index journal_given_out on journal (network_transaction_id)
    where agreement is null and approval_code is not null;
-- Finds the charges under an agreement.
create index journal_agreement on journal (agreement, received_at) where agreement is not null;
-- Counts the charges of a test card, which has the name test-<test_data_id>.
create index journal_test_data on journal (card_name)
    where card_name like 'test-%' and approval_code is not null and kind in ('sale', 'authorization');

-- The balance of the cards that have one. Negative after the reversal of a refund whose amount was spent.
create table balance (
    card_name text primary key,
    currency text not null,
    amount_minor bigint not null
);

-- 3-D Secure authentications, as seen by Directory Server and ACS.
create table authentication (
    acs_trans_id uuid primary key,
    ds_trans_id uuid not null,
    -- A repeated AReq gets the first ARes.
    threeds_server_trans_id uuid not null unique,
    message_version text not null,
    message_category text not null,
    card_name text,
    masked_number text not null,
    brand text not null,
    amount_minor bigint not null,
    currency text not null,
    merchant_name text not null,
    notification_url text not null,
    threeds_server_url text not null,
    -- transStatus of the ARes; not final if C or D.
    first_status text not null check (first_status in ('Y', 'A', 'N', 'U', 'R', 'I', 'C', 'D')),
    -- Final transStatus: null -> Y | N, once, for C and D; otherwise equal to first_status.
    final_status text check (final_status in ('Y', 'A', 'N', 'U', 'R', 'I')),
    status_reason text,
    eci text,
    cavv text unique,
    challenge_cancel text,
    wrong_codes smallint not null default 0 check (wrong_codes between 0 and 3),
    -- When the first CReq arrived.
    opened_at timestamptz,
    -- When an unanswered challenge times out.
    expires_at timestamptz not null,
    -- When the 3DS Server acknowledged the RReq; for C and D only.
    reported_at timestamptz,
    -- The reference of the authorization that used it.
    spent_by text,
    created_at timestamptz not null default now(),
    constraint authentication_settles_at_once check (first_status in ('C', 'D') or first_status = final_status),
    constraint authentication_success_has_proof check ((cavv is not null) = (coalesce(final_status, '') in ('Y', 'A')))
);

-- Finds unreported challenges to resume after a restart.
create index authentication_unreported on authentication (created_at) where first_status in ('C', 'D') and reported_at is null;
-- Finds results U and I, which let the card's next authorization pass without proof.
create index authentication_noted on authentication (card_name, created_at) where cavv is null and spent_by is null;

-- Disputes: sales and captures that the issuer charges back some days later.
create table dispute (
    dispute_id uuid primary key default gen_random_uuid(),
    -- The sale or the capture.
    reference text not null unique collate "C",
    -- The journal row with the remaining amount: the sale itself, or the captured authorization.
    original_reference text not null collate "C",
    acceptor text not null,
    -- As numbered by the scheme.
    reason text not null,
    -- Merchant time, as the message gave it.
    due_at timestamptz not null,
    -- When the acquirer's customer acknowledged it; it is not reported again.
    taken_at timestamptz
);

-- Finds disputes to report.
create index dispute_open on dispute (due_at, dispute_id) where taken_at is null;
-- Finds disputes to report to one merchant.
create index dispute_open_of_acceptor on dispute (acceptor, due_at, dispute_id) where taken_at is null;

-- The next ID of test payment data. IDs never repeat, even after a restore (docs/adr/0019).
create table test_data_counter (
    is_only_row boolean primary key default true check (is_only_row),
    next_number bigint not null
);

-- Reserve an ID: 10^15 + 100 n, n never below 10^4 times the seconds since 2026-01-01 UTC.
create function next_test_data_id_v1() returns bigint language sql as $$
    insert into test_data_counter as c (next_number)
    values (greatest(0, ceil((extract(epoch from clock_timestamp()) - 1767225600) * 10000))::bigint + 1)
    on conflict (is_only_row) do update set next_number = greatest(c.next_number + 1, excluded.next_number)
    returning 1000000000000000 + 100 * (next_number - 1)
$$;

create type test_data_type as enum (
    'maestro', 'mastercard', 'sepa', 'visa', 'discover', 'unionpay', 'jcb', 'diners', 'amex'
);

-- Test payment data: cards and bank accounts that merchants create for their tests. They exist here only.
create table test_data (
    merchant_id bigint not null,
    test_data_id bigint not null default next_test_data_id_v1(),
    type test_data_type not null,
    -- In clear: it is shown to its merchant and buys nothing anywhere else. An IBAN for sepa.
    number text not null unique,
    masked_number text not null generated always as (left(number, 6) || '****' || right(number, 4)) stored,
    currency text not null,
    -- Addresses that may pay with it; empty: any.
    allowed_ips text[] not null check (cardinality(allowed_ips) <= 50),
    emulates_3ds boolean not null,
    is_blocked boolean not null default false,
    is_expired boolean not null,
    comment text,
    -- The idempotency key of the request that created it, and a digest of the request: an equal request gets the same row.
    request_key text,
    request_digest text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    -- A deleted row stays, so that its number and its request never mean another.
    deleted_at timestamptz,
    primary key (merchant_id, test_data_id),
    unique (merchant_id, request_key)
);

-- Finds the candidates for a card number, which the issuer then compares.
create index test_data_masked_number on test_data (masked_number);
