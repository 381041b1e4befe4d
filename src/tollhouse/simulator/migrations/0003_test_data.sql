-- Test payment data: cards and accounts that merchants make for their tests. They exist here only, and are nobody's.

create type test_data_type as enum (
    'maestro', 'mastercard', 'sepa', 'visa', 'discover', 'unionpay', 'jcb', 'diners', 'amex'
);

create sequence test_data_number as bigint start with 100001;

create table test_data (
    merchant_id bigint not null,
    test_data_id bigint not null default nextval('test_data_number'),
    type test_data_type not null,
    -- In clear, for it is shown to its merchant and buys nothing anywhere else. An IBAN for sepa.
    number text not null unique,
    masked_number text not null generated always as (left(number, 6) || '****' || right(number, 4)) stored,
    currency text not null,
    -- Addresses that may pay with it; any where there is none.
    allowed_ips text[] not null check (cardinality(allowed_ips) <= 50),
    emulates_3ds boolean not null,
    is_blocked boolean not null default false,
    is_expired boolean not null,
    comment text,
    -- What names the request that made it, and a digest of that: the same request again gets the same row.
    request_key text,
    request_digest text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    -- A deleted row stays, so that its number and its request never mean another.
    deleted_at timestamptz,
    primary key (merchant_id, test_data_id),
    unique (merchant_id, request_key)
);

-- The issuer finds a card by this and compares the numbers then.
create index test_data_masked_number on test_data (masked_number);

-- The journal and the balances know such a card by the name test-<test_data_id>. This counts its charges.
create index journal_test_data on journal (card_name)
    where card_name like 'test-%' and approval_code is not null and kind in ('sale', 'authorization');
