-- Letters about subscriptions, beside those about transactions. A letter has a number of its own, and is about one or the other.

alter table notice
    drop constraint notice_pkey,
    alter column transaction_id drop not null,
    add column notice_id bigint generated always as identity,
    add column subscription_id bigint,
    -- When that happened which the letter tells of: a subscription may end more than once.
    add column occurred_at timestamptz,
    add primary key (merchant_id, notice_id),
    add check ((transaction_id is null) <> (subscription_id is null)),
    add check ((subscription_id is null) = (occurred_at is null));

-- Each letter is written once.
create unique index notice_transaction on notice (merchant_id, transaction_id) where transaction_id is not null;
create unique index notice_subscription on notice (merchant_id, subscription_id, occurred_at)
    where subscription_id is not null;
