-- The verification of the ledger: how far it is, and what it found.

-- The last event of each merchant whose entries the worker has verified.
create table ledger_proof (
    merchant_id bigint primary key,
    proven_sequence bigint not null check (proven_sequence >= 0)
);

-- The position of the repeated verification of all entries, in the order of their keys. One row, locked by the verifying worker.
create table ledger_round (
    is_only_row boolean primary key default true check (is_only_row),
    merchant_id bigint not null default 0,
    transaction_id bigint not null default 0,
    rounds bigint not null default 0
);

insert into ledger_round default values;

-- Violations found at the last verification of a transaction. Empty in a ledger that balances.
create table ledger_violation (
    merchant_id bigint not null,
    transaction_id bigint not null,
    fault text not null,
    found_at timestamptz not null default now(),
    primary key (merchant_id, transaction_id)
);
