-- Idempotency keys.

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
