-- The ledger: double-entry records of every amount that moved.

-- Accounts of two separate trees, promises of issuers and money. An amount moves within one of them.
create type ledger_account as enum (
    'holds.issuers',     -- amounts reserved on cards: grows by debits
    'holds.merchants',   -- the merchants for whom they are reserved: the other side of the same
    'money.acquirers',   -- amounts that acquirers owe: grows by debits
    'money.merchants',   -- amounts collected for merchants and owed to them: grows by credits
    'money.credits',     -- amounts refunded from those: grows by debits
    'money.chargebacks'  -- amounts that issuers took from those: grows by debits
);

-- Entries: each debits one account and credits another, so that it balances by itself. Inserted with the outcome and never changed.
create table ledger_entry (
    merchant_id bigint not null,
    transaction_id bigint not null,
    -- Within the transaction, from 1.
    number smallint not null check (number > 0),
    debit ledger_account not null,
    credit ledger_account not null,
    amount_minor bigint not null check (amount_minor > 0),
    currency text not null check (length(currency) = 3),
    -- Real time.
    posted_at timestamptz not null default now(),
    primary key (merchant_id, transaction_id, number),
    constraint ledger_entry_accounts_match check (
        (debit, credit) in (
            ('holds.issuers', 'holds.merchants'),      -- authorization
            ('holds.merchants', 'holds.issuers'),      -- capture or void of an authorization
            ('money.acquirers', 'money.merchants'),    -- sale or capture
            ('money.merchants', 'money.acquirers'),    -- void of a sale or capture
            ('money.credits', 'money.acquirers'),      -- refund
            ('money.chargebacks', 'money.acquirers'),  -- chargeback
            ('money.acquirers', 'money.chargebacks')   -- dispute won
        )
    )
);

-- Makes entries immutable.
create trigger ledger_entry_is_final before update or delete on ledger_entry
    for each row execute function refuse_change_v1();

-- Both sides of each entry; debits are above zero, credits below.
create view ledger_line as
select merchant_id, transaction_id, number, debit as account, currency, amount_minor, posted_at from ledger_entry
union all
select merchant_id, transaction_id, number, credit, currency, -amount_minor, posted_at from ledger_entry;
