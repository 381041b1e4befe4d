-- Emails to consumers.

create type notice_state as enum (
    'waiting',  -- -> sent | failed
    'sent',     -- final
    'failed'    -- final
);

-- Emails to send, inserted by the database transaction that records their subject.
create table notice (
    merchant_id bigint not null,
    notice_id bigint generated always as identity,
    -- An email is about a transaction or about a subscription.
    transaction_id bigint,
    subscription_id bigint,
    -- When the subscription changed: it may end more than once.
    occurred_at timestamptz,
    recipient text not null check (length(recipient) <= 254 and recipient !~ '[[:space:][:cntrl:],;<>"]'),
    language text not null,
    -- The contents; rendered when the email is sent.
    facts jsonb not null,
    state notice_state not null default 'waiting',
    attempts smallint not null default 0,
    -- When the email may be sent, or when its lease ends.
    due_at timestamptz not null default now(),
    lease uuid,
    -- The cause of the last failure.
    error text check (length(error) <= 200),
    created_at timestamptz not null default now(),
    ended_at timestamptz constraint notice_ended_has_time check ((ended_at is null) = (state = 'waiting')),
    primary key (merchant_id, notice_id),
    constraint notice_has_one_subject check ((transaction_id is null) <> (subscription_id is null)),
    constraint notice_of_subscription_has_time check ((subscription_id is null) = (occurred_at is null))
);

-- One email for each transaction.
create unique index notice_transaction on notice (merchant_id, transaction_id) where transaction_id is not null;
-- One email for each change of a subscription.
create unique index notice_subscription on notice (merchant_id, subscription_id, occurred_at)
    where subscription_id is not null;
-- Finds emails to send.
create index notice_due on notice (due_at) where state = 'waiting';
-- Finds old rows for the sweep.
create index notice_ended on notice (ended_at) where ended_at is not null;
