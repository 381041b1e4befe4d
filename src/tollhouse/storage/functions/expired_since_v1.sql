-- storage: Return for how long the oldest row of a table has been expired (delete_expired_v1). Negative if it is not; null for an empty table.
create function expired_since_v1(table_name text, column_name text, kept interval) returns interval
language plpgsql as $$
declare
    lag interval;
begin
    execute format(
        'select now() - $1 - %2$I from %1$I where %2$I is not null order by %2$I limit 1', table_name, column_name
    )
    into lag using kept;
    return lag;
end
$$;
