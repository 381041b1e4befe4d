-- Card data, sealed: tokens, security codes and stored cards.

-- A value that only the right keys can produce, so that a process with other keys is rejected at its start.
create table key_check (
    is_only_row boolean primary key default true check (is_only_row),
    -- A digest of the key from which keyed hashes are derived, sealed with the keys that seal everything else.
    sealed bytea not null
);

-- Short-lived tokens. A token is the secret that seals its card, and only its hash is stored (docs/adr/0024).
create table token (
    -- The first 128 bits of SHA-256 of the token.
    token_id uuid primary key,
    -- Set if a valid API key created the token: no other merchant may use it.
    merchant_id bigint,
    -- The payment that consumed the token.
    used_by bigint,
    expires_at timestamptz not null,
    -- The stored card that the token names, with a fresh security code. Such a token holds no card of its own.
    account_id uuid,
    -- Null once used: the payment sealed the card again for its merchant.
    sealed_card bytea,
    constraint token_of_account_has_no_card check (account_id is null or (sealed_card is null and merchant_id is not null))
);

-- Finds expired tokens for the sweep.
create index token_expiry on token (expires_at);
-- Finds cards of expired tokens for the sweep, which runs more often.
create index token_card_expiry on token (expires_at) where sealed_card is not null;

-- Card security codes, stored apart from card data and for minutes only.
create table security_code (
    -- `token_id` of a token, or the first authentication of a challenge's series.
    holder_id uuid primary key,
    expires_at timestamptz not null,
    sealed bytea not null
);

-- Finds expired codes for the sweep.
create index security_code_expiry on security_code (expires_at);

-- Stored cards. The ID is a keyed hash of merchant, consumer and card, so it is known before the row is written.
create table account (
    merchant_id bigint not null,
    account_id uuid not null,
    consumer_id text not null collate "C",
    -- Keyed hash of the card number: equal for equal cards of one merchant.
    fingerprint bytea not null,
    key_version integer not null,
    sealed_card bytea not null,
    brand text not null,
    -- Six digits are shown first, or four of a number with twelve digits: six would hide only two.
    masked_number text not null check (masked_number ~ '^\d{4}(\d\d)?\*{4}\d{4}$'),
    expiry_month smallint not null check (expiry_month between 1 and 12),
    expiry_year smallint not null,
    disabled boolean not null default false,
    -- Links merchant-initiated charges to the first one; never copied to another card number.
    network_transaction_id text,
    -- The stored card of the new number, which the account updater returned. It is charged instead.
    replaced_by uuid,
    created_at timestamptz not null default now(),
    primary key (merchant_id, account_id),
    constraint account_replaced_by_another check (replaced_by <> account_id)
);

-- Finds the cards of a consumer. The consumer comes first because the planner, without statistics, prefers a shared prefix to the key.
create index account_consumer on account (consumer_id, merchant_id);
-- Finds a card by ID without its merchant, as browsers name it.
create index account_by_id on account (account_id);
-- Finds all stored cards with one number. The number comes first: see transaction_payment.
create index account_fingerprint on account (fingerprint, merchant_id);
-- Finds the cards that a card replaced.
create index account_replaced_by on account (merchant_id, replaced_by) where replaced_by is not null;
