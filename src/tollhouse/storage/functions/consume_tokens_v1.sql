-- vault: Consume tokens for payments, and erase their cards and security codes.
--
-- Returns the tokens that were unused and valid, or consumed by the same payment before. Of several payments with one token, one comes back. Tokens expire by real
-- time: the merchant's time was checked when the request was read.
create function consume_tokens_v1(token_ids uuid[], payment_ids bigint[])
returns table (token_id uuid, used_by bigint)
language plpgsql set enable_seqscan to off set enable_hashjoin to off set enable_mergejoin to off as $$
#variable_conflict use_column
begin
    perform from token t
    where t.token_id = any(token_ids)
    order by t.token_id
    for no key update;

    return query
    update token t
    set used_by = given.payment_id, sealed_card = null
    from unnest(token_ids, payment_ids) as given (token_id, payment_id)
    where t.token_id = given.token_id
        and (t.used_by = given.payment_id or (t.used_by is null and t.expires_at > now()))
    returning t.token_id, t.used_by;

    delete from security_code c
    using unnest(token_ids, payment_ids) as given (token_id, payment_id)
    where c.holder_id = given.token_id
        and exists (select from token t where t.token_id = given.token_id and t.used_by = given.payment_id);
end
$$;
