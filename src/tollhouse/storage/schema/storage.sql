-- Identifiers of this installation, which packages share.

-- Two digits at the end of every ID from this database. They differ from those of other databases at the same acquirer account.
create table installation (
    is_only_row boolean primary key default true check (is_only_row),
    -- Chosen at random once; an operator can set it.
    number smallint not null check (number between 0 and 99)
);

insert into installation (number) values (floor(random() * 100));

-- The next ID of each kind that can be reserved. IDs never repeat, even after a restore (docs/adr/0019).
create table id_counter (
    -- 'object' for payments, transactions, subscriptions and sites, so that no two of them share an ID; or 'event'.
    kind text primary key,
    next_number bigint not null
);
