-- Identifiers of this installation and idempotency keys: tables that packages share.

-- Two digits at the end of every ID from this database. They differ from those of other databases at the same acquirer account.
create table installation (
    is_only_row boolean primary key default true check (is_only_row),
    -- Chosen at random once; an operator can set it.
    number smallint not null check (number between 0 and 99)
);

insert into installation (number) values (floor(random() * 100));

-- The next ID of each kind that can be reserved. IDs never repeat, even after a restore (docs/adr/0019).
create table id_counter (
    -- 'object' for payments, transactions, subscriptions and sites, so that no two of them share an ID; or 'event'.
    kind text primary key,
    next_number bigint not null
);

-- Idempotency keys (X-Request-ID). A key stays claimed once its transaction is committed.
create table request_claim (
    merchant_id bigint not null,
    operation text not null collate "C",
    request_id text not null collate "C",
    -- Keyed digest of the body, in which card data never appears in clear.
    digest bytea not null,
    -- The payment that the request began. Null for requests that create something else, such as a site.
    payment_id bigint,
    -- The operation on an earlier transaction that the request began. Null for all other requests.
    transaction_id bigint,
    -- HTTP status and body of the response. Null while the request runs; set once.
    status smallint,
    answer bytea,
    created_at timestamptz not null default now(),
    primary key (merchant_id, operation, request_id)
);

-- Finds the claims of a payment, to store the response when it finishes. The payment comes first: see transaction_payment.
create index request_claim_payment on request_claim (payment_id, merchant_id);
