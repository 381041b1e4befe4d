-- Ids of test data that never repeat, also not after a restore, as the gateway's (docs/adr/0019).

create table test_data_counter (
    is_only_row boolean primary key default true check (is_only_row),
    next_number bigint not null
);

-- 10^15 + 100 n, n never below 10^4 times the seconds since 2026-01-01 UTC.
create function next_test_data_id() returns bigint language sql as $$
    insert into test_data_counter as c (next_number)
    values (greatest(0, ceil((extract(epoch from clock_timestamp()) - 1767225600) * 10000))::bigint + 1)
    on conflict (is_only_row) do update set next_number = greatest(c.next_number + 1, excluded.next_number)
    returning 1000000000000000 + 100 * (next_number - 1)
$$;

alter table test_data alter column test_data_id set default next_test_data_id();
drop sequence test_data_number;
