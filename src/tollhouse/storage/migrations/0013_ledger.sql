-- The books, in double entry. A row debits one account and credits another, so that it balances by itself; rows are written
-- by the transaction that settles a payment and never changed after.

-- Two trees that never mix: promises of issuers, and money. An amount moves within one of them.
create type ledger_account as enum (
    'holds.issuers',     -- what issuers have set aside on cards: grows by debits
    'holds.merchants',   -- for whom it is set aside: the other side of the same
    'money.acquirers',   -- what acquirers owe: grows by debits
    'money.merchants',   -- what was taken for merchants, and is owed to them: grows by credits
    'money.credits',     -- what was given back to cardholders out of that: grows by debits
    'money.chargebacks'  -- what issuers took back out of that: grows by debits
);

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
    constraint ledger_entry_means_something check (
        (debit, credit) in (
            ('holds.issuers', 'holds.merchants'),    -- an authorization holds
            ('holds.merchants', 'holds.issuers'),    -- a capture or a void releases
            ('money.acquirers', 'money.merchants'),  -- a sale or a capture takes
            ('money.merchants', 'money.acquirers'),  -- a void undoes that
            ('money.credits', 'money.acquirers'),    -- a credit gives back
            ('money.chargebacks', 'money.acquirers') -- a charge-back takes back
        )
    )
);

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'rows of % are never changed', tg_table_name using errcode = 'restrict_violation';
end
$$;

create trigger ledger_entry_is_final before update or delete on ledger_entry
    for each row execute function refuse_change();

-- Both sides of each entry; debits are above zero, credits below.
create view ledger_line as
select merchant_id, transaction_id, number, debit as account, currency, amount_minor, posted_at from ledger_entry
union all
select merchant_id, transaction_id, number, credit, currency, -amount_minor, posted_at from ledger_entry;

-- How far the worker has proved the books. New facts are proved along the numbers of a merchant's events ...
create table ledger_proof (
    merchant_id bigint primary key,
    proven_sequence bigint not null check (proven_sequence >= 0)
);

-- ... and everything again and again in the order of the keys. One row, locked by whoever proves.
create table ledger_round (
    is_only boolean primary key default true check (is_only),
    merchant_id bigint not null default 0,
    transaction_id bigint not null default 0,
    rounds bigint not null default 0
);

insert into ledger_round default values;

-- What the worker found wrong at its last look at a transaction. Empty in books that balance.
create table ledger_violation (
    merchant_id bigint not null,
    transaction_id bigint not null,
    fault text not null,
    found_at timestamptz not null default now(),
    primary key (merchant_id, transaction_id)
);

-- What was settled before there were books: sales and authorizations only.
insert into ledger_entry (merchant_id, transaction_id, number, debit, credit, amount_minor, currency)
select merchant_id, transaction_id, 1, way.debit, way.credit, amount_minor, currency
from transaction
join (
    values
        ('sale'::transaction_mode, 'money.acquirers'::ledger_account, 'money.merchants'::ledger_account),
        ('auth', 'holds.issuers', 'holds.merchants')
) as way (mode, debit, credit) using (mode)
where status = 'success' and amount_minor > 0;
