-- A sealed security code to store.
create type security_code_v1 as (place integer, holder_id uuid, sealed bytea, expires_at timestamptz);

-- vault: Store sealed security codes, each for its holder, and erase those of other holders.
create function replace_security_codes_v1(codes security_code_v1[], erased uuid[]) returns void
language plpgsql set enable_seqscan to off as $$
begin
    insert into security_code (holder_id, sealed, expires_at)
    select holder_id, sealed, expires_at from unnest(codes)
    on conflict do nothing;

    delete from security_code where holder_id = any(erased);
end
$$;
