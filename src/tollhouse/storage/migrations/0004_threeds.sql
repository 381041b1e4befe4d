-- 3-D Secure: what was asked of the Directory, and what became of it. No card data.

create type authentication_state as enum (
    'collecting',  -- -> requested | abandoned; the cardholder's browser is not known yet
    'requested',   -- -> challenged | passed | failed | abandoned | superseded; the AReq is on its way
    'challenged',  -- -> passed | failed | abandoned | lapsed | superseded; the RReq will tell
    'lapsed',      -- -> superseded | abandoned; the ACS waited in vain for the first CReq
    'passed',      -- final; the payment goes on
    'failed',      -- final; the payment is refused with 1010
    'abandoned',   -- final; the payment is refused with 1011
    'superseded'   -- final; a newer one of the same series stands in its place
);

create table authentication (
    merchant_id bigint not null,
    authentication_id uuid not null,
    -- The first authentication of the attempt: its successors share its page, and it holds the security code for all.
    series_id uuid not null,
    payment_id bigint not null,
    transaction_id bigint not null,
    -- The attempt that waits for it.
    attempt_number smallint not null check (attempt_number > 0),
    -- Which of its series it is, from 1.
    number smallint not null default 1 check (number > 0),
    state authentication_state not null,
    -- SHA-256 of the key in the address of our page, and of the one to which the ACS sends the browser back.
    page_digest bytea not null check (length(page_digest) = 32),
    return_digest bytea not null check (length(return_digest) = 32),
    three_ds_server_trans_id uuid not null,
    version text not null,
    -- Of the card range, when the authentication was made.
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
    -- The last word of the issuer's side; the ARes first, then the RReq.
    trans_status text check (trans_status in ('Y', 'A', 'N', 'U', 'R', 'C', 'D', 'I')),
    status_reason text,
    eci text,
    cavv text,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    answered_at timestamptz,
    -- When the browser first got the CReq.
    opened_at timestamptz,
    result_at timestamptz,
    -- Since when a cardholder waits for the outcome of the payment.
    waiting_since timestamptz,
    -- When the sweep may look at it: after it ran out, or a while after a decision that its attempt did not follow. Null once
    -- the attempt has gone on or ended.
    due_at timestamptz,
    primary key (merchant_id, authentication_id),
    constraint authentication_trans_id_unique unique (three_ds_server_trans_id),
    constraint authentication_return_unique unique (return_digest),
    constraint authentication_proof_is_whole check (
        cavv is null or (eci is not null and ds_trans_id is not null)
    ),
    constraint authentication_decided_has_time check (
        (result_at is not null) = (state in ('passed', 'failed', 'abandoned'))
    )
);

-- One page, one authentication behind it.
create unique index authentication_page_unique on authentication (page_digest) where state <> 'superseded';
create index authentication_transaction on authentication (merchant_id, transaction_id);
create index authentication_due on authentication (due_at) where due_at is not null;

-- A row is updated a few times in its first minutes and never again.
alter table authentication set (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
