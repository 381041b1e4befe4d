-- Ids on the wire that never repeat, also not after a restore: 10^15 + 100 n + installation (docs/adr/0019). The sequences
-- payment_number, transaction_number, subscription_number and site_number, from which programs before this one count, stay until no such
-- program runs any more.

-- The two digits that tell this database's ids from those of any other at the same acquirer account. Drawn once; can be set.
create table installation (
    is_only_row boolean primary key default true check (is_only_row),
    number smallint not null check (number between 0 and 99)
);
insert into installation (number) values (floor(random() * 100));

-- n of the next id that is reserved, by what has ids of its own: 'object' for orders, transactions, subscriptions and sites, so that no
-- two of them share a number, and 'event'.
create table id_counter (
    kind text primary key,
    next_number bigint not null
);

-- Reserve ids and return the first; each further one is 100 more. n is never below 10^4 times the seconds since 2026-01-01 UTC: whatever
-- this counter has forgotten, because it was restored or its server lagged behind, was given out before now and is smaller.
create function reserve_ids(kind text, size integer) returns bigint language sql as $$
    insert into id_counter as c (kind, next_number)
    select kind, floor_of_now + size
    from (
        select greatest(0, ceil((extract(epoch from clock_timestamp()) - 1767225600) * 10000))::bigint as floor_of_now
    ) as clock
    on conflict (kind) do update set next_number = greatest(c.next_number + size, excluded.next_number)
    returning 1000000000000000 + 100 * (next_number - size) + (select i.number from installation i)
$$;

-- The sequencer gives an event its id with its number. Until then it has a small one of its own, which orders it and is on no wire.
comment on column event.event_id is 'Below 10^15 until the sequencer has numbered the event, which nobody is told of before.';
