-- storage: Raise unless the condition is true, and so undo the statement that calls it. The caller then takes another way.
create function demand_v1(boolean) returns void language plpgsql as $$
begin
    if $1 is not true then
        raise exception 'not as it was seen' using errcode = 'TH001';
    end if;
end
$$;
