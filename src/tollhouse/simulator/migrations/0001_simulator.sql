-- What the simulated outside world remembers: the issuer's journal, balances, and authentications. No card number anywhere:
-- a published card is known by its name.

create type journal_kind as enum (
    'sale',
    'authorization',
    'verification',
    'reversal'       -- -> sale | authorization | verification, when the authorization comes after its reversal
);

-- One row for each acquirer reference that was ever seen. What the issuer took is approval_code set and reversed_at null.
create table journal (
    reference text primary key collate "C",
    kind journal_kind not null,
    -- As a card number may be shown; null until an authorization came.
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
    -- The proof that came with it, right or wrong.
    cavv text,
    -- How often the authorization arrived; 0 while only its reversal did.
    deliveries integer not null check (deliveries >= 0),
    received_at timestamptz not null default now(),
    reversed_at timestamptz,
    check (kind = 'reversal' or (masked_number, amount_minor, currency, response_code) is not null),
    check ((kind = 'reversal') = (deliveries = 0)),
    check (kind <> 'reversal' or reversed_at is not null)
);

create index journal_received on journal (received_at);

-- What is left on the cards that have a balance.
create table balance (
    card_name text primary key,
    currency text not null,
    amount_minor bigint not null check (amount_minor >= 0)
);

-- One 3-D Secure authentication, as Directory and access control server know it.
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
    -- transStatus of the ARes. C and D leave it open.
    first_status text not null check (first_status in ('Y', 'A', 'N', 'U', 'R', 'I', 'C', 'D')),
    -- transStatus in the end: null -> Y | N, once, for C and D; equal to first_status otherwise.
    final_status text check (final_status in ('Y', 'A', 'N', 'U', 'R', 'I')),
    status_reason text,
    eci text,
    cavv text unique,
    challenge_cancel text,
    wrong_codes smallint not null default 0 check (wrong_codes between 0 and 3),
    -- When the first CReq came.
    opened_at timestamptz,
    -- A challenge that is not answered by then has timed out.
    expires_at timestamptz not null,
    -- When the 3DS Server acknowledged the RReq; for C and D only.
    reported_at timestamptz,
    -- The reference of the authorization that used it up.
    spent_by text,
    created_at timestamptz not null default now(),
    check (first_status in ('C', 'D') or first_status = final_status),
    check ((cavv is not null) = (coalesce(final_status, '') in ('Y', 'A')))
);

-- Open ends that a restart takes up again.
create index authentication_unreported on authentication (created_at) where first_status in ('C', 'D') and reported_at is null;

-- Answers of U and I, which let the next authorization of the card pass without proof.
create index authentication_noted on authentication (card_name, created_at) where cavv is null and spent_by is null;
