-- storage: Delete rows of a table that expired, up to `most`, and return their number. A row expires when it has been `kept` for so long after
-- the time in a column, which an index has to have. The oldest are first; locked rows are skipped.
create function delete_expired_v1(table_name text, column_name text, kept interval, most integer) returns integer
language plpgsql as $$
declare
    deleted integer;
begin
    execute format(
        'delete from %1$I where ctid = any(array(
            select ctid from %1$I where %2$I <= now() - $1 order by %2$I limit $2 for update skip locked
        ))',
        table_name, column_name
    )
    using kept, most;
    get diagnostics deleted = row_count;
    return deleted;
end
$$;
