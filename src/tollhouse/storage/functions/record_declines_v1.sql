-- payments: Record declines by the issuer.
create function record_declines_v1(marks velocity_mark_v1[]) returns void
language plpgsql as $$
begin
    insert into velocity_mark (merchant_id, kind, key, is_decline, transaction_id)
    select m.merchant_id, m.kind, m.key, true, m.transaction_id
    from unnest(marks) as m;
end
$$;
