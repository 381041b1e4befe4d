-- storage: Reserve IDs of a kind and return the first; each further one is 100 more (docs/adr/0019).
--
-- An ID is 10^15 + 100 n + installation. n is at least 10^4 times the seconds since 2026-01-01 UTC: every ID that this counter forgot in a
-- restore was given out earlier and is smaller.
create function reserve_ids_v1(kind text, size integer) returns bigint language sql as $$
    insert into id_counter as c (kind, next_number)
    select kind, floor_of_now + size
    from (
        select greatest(0, ceil((extract(epoch from clock_timestamp()) - 1767225600) * 10000))::bigint as floor_of_now
    ) as clock
    on conflict (kind) do update set next_number = greatest(c.next_number + size, excluded.next_number)
    returning 1000000000000000 + 100 * (next_number - size) + (select i.number from installation i)
$$;
