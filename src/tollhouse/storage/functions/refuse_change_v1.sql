-- storage: Reject every update and delete of a row: a trigger for tables whose rows are final.
create function refuse_change_v1() returns trigger language plpgsql as $$
begin
    raise exception 'rows of % are never changed', tg_table_name using errcode = 'restrict_violation';
end
$$;
