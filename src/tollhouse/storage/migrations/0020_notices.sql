-- Letters to consumers, written in the transaction that settles what they tell of.

create type notice_state as enum (
    'waiting',  -- -> sent | failed
    'sent',     -- final
    'failed'    -- final
);

create table notice (
    merchant_id bigint not null,
    transaction_id bigint not null,
    recipient text not null check (length(recipient) <= 254 and recipient !~ '[[:space:][:cntrl:],;<>"]'),
    language text not null,
    -- What the letter says; rendered when it is carried.
    facts jsonb not null,
    state notice_state not null default 'waiting',
    attempts smallint not null default 0,
    -- When it may be carried, or until when somebody has it.
    due_at timestamptz not null default now(),
    lease uuid,
    -- How the last attempt failed.
    error text check (length(error) <= 200),
    created_at timestamptz not null default now(),
    ended_at timestamptz check ((ended_at is null) = (state = 'waiting')),
    primary key (merchant_id, transaction_id)
);

create index notice_due on notice (due_at) where state = 'waiting';
create index notice_ended on notice (ended_at) where state <> 'waiting';
