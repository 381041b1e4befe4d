-- Phone verification. Only keyed digests of phone numbers and codes are stored.

-- The code last sent to a phone.
create table phone_code (
    merchant_id bigint not null,
    phone_digest bytea not null check (length(phone_digest) = 32),
    code_digest bytea not null check (length(code_digest) = 32),
    tries_left smallint not null check (tries_left between 0 and 5),
    expires_at timestamptz not null,
    primary key (merchant_id, phone_digest)
);

-- Finds expired codes for the sweep.
create index phone_code_expiry on phone_code (expires_at);

-- Messages sent in the current window.
create table phone_quota (
    merchant_id bigint not null,
    -- The digest of a phone, or empty for all messages of the merchant.
    subject bytea not null check (length(subject) in (0, 32)),
    used integer not null check (used > 0),
    ends_at timestamptz not null,
    primary key (merchant_id, subject)
);

-- Finds expired windows for the sweep.
create index phone_quota_end on phone_quota (ends_at);
