-- 3-D Secure authentications. No card data.

create type authentication_state as enum (
    'collecting',  -- -> requested | abandoned; the cardholder's browser is not known yet
    'requested',   -- -> challenged | passed | failed | abandoned | superseded; the AReq was sent
    'challenged',  -- -> passed | failed | abandoned | lapsed | superseded; the RReq brings the result
    'lapsed',      -- -> superseded | abandoned; the ACS received no CReq in time
    'passed',      -- final; the payment proceeds
    'failed',      -- final; the payment is declined with 1010
    'abandoned',   -- final; the payment is declined with 1011
    'superseded'   -- final; replaced by a newer authentication of the same series
);

-- Authentications: the request to the Directory Server and its result.
create table authentication (
    merchant_id bigint not null,
    authentication_id uuid not null,
    -- The first authentication of the attempt. Its successors share its page, and it holds the security code for all.
    series_id uuid not null,
    payment_id bigint not null,
    transaction_id bigint not null,
    -- The attempt that waits for it.
    attempt_number smallint not null check (attempt_number > 0),
    -- Position in its series, from 1.
    number smallint not null default 1 check (number > 0),
    state authentication_state not null,
    -- SHA-256 of the key in the address of our page, and of the key in the address to which the ACS returns the browser.
    page_digest bytea not null check (length(page_digest) = 32),
    return_digest bytea not null check (length(return_digest) = 32),
    three_ds_server_trans_id uuid not null,
    version text not null,
    -- Of the card range, when the authentication was created.
    method_url text,
    method_completed_at timestamptz,
    -- threeDSRequestorChallengeInd: 01 no preference, 04 mandated (after a soft decline).
    challenge_indicator text not null,
    browser jsonb,
    requested_at timestamptz,
    acs_trans_id uuid,
    ds_trans_id uuid,
    -- Null in `challenged`: the cardholder confirms in the bank's app (D).
    acs_url text,
    -- The latest status from the issuer: first the ARes, then the RReq.
    trans_status text check (trans_status in ('Y', 'A', 'N', 'U', 'R', 'C', 'D', 'I')),
    status_reason text,
    eci text,
    cavv text,
    created_at timestamptz not null,
    -- `expires_at` and `due_at` are merchant time, the others real time.
    expires_at timestamptz not null,
    answered_at timestamptz,
    -- When the browser first got the CReq.
    opened_at timestamptz,
    result_at timestamptz,
    -- Since when a cardholder waits for the outcome of the payment.
    waiting_since timestamptz,
    -- When the sweep handles it: after it expired, or after a decision that its attempt did not follow. Null once the attempt
    -- proceeded or ended.
    due_at timestamptz,
    -- The end of the sweep's lease, or of the time in which the deciding request resumes the attempt.
    lease_until timestamptz,
    primary key (merchant_id, authentication_id),
    -- Finds the authentication of an RReq.
    constraint authentication_trans_id_unique unique (three_ds_server_trans_id),
    -- Finds the authentication of a returning browser.
    constraint authentication_return_unique unique (return_digest),
    constraint authentication_proof_is_whole check (
        cavv is null or (eci is not null and ds_trans_id is not null)
    ),
    constraint authentication_decided_has_time check (
        (result_at is not null) = (state in ('passed', 'failed', 'abandoned'))
    )
) with (
    -- A row is updated a few times in its first minutes and never again.
    fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05
);

-- Finds the authentication of a page: one at a time.
create unique index authentication_page_unique on authentication (page_digest) where state <> 'superseded';
-- Accepts each proof of an authentication (CAVV) once: a second one is a replay.
create unique index authentication_cavv_unique on authentication (cavv) where cavv is not null;
-- Finds the authentications of a transaction.
create index authentication_transaction on authentication (merchant_id, transaction_id);
-- Finds due authentications by real time.
create index authentication_due on authentication (due_at) where due_at is not null;
-- Finds due authentications of merchants whose clock was advanced.
create index authentication_due_of_merchant on authentication (merchant_id, due_at) where due_at is not null;
