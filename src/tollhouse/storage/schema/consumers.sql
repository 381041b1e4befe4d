-- People who buy from merchants.

-- A consumer of one merchant.
create table consumer (
    merchant_id bigint not null references merchant,
    consumer_id text not null collate "C" check (length(consumer_id) between 5 and 36),
    -- The merchant's own ID.
    external_id text collate "C" check (length(external_id) between 1 and 255),
    -- 1 whitelist, 2 blacklist, 3 junior, 4 senior, 5 expert.
    group_id smallint not null default 3 check (group_id between 1 and 5),
    -- email, firstName, lastName, ...: from the first payment, under their names on the wire.
    profile jsonb not null default '{}',
    -- The stored card that the source `consumer` charges: the last one the consumer paid with; without a payment, the last one verified.
    last_account_id uuid,
    -- Whether the consumer paid with `last_account_id`. A verification does not replace a card that paid.
    has_paid boolean not null default false,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (merchant_id, consumer_id)
);

-- One consumer for each external ID.
create unique index consumer_external_id_unique on consumer (merchant_id, external_id) where external_id is not null;
