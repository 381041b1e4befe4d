-- idempotency: Let keys that lead to these payments lead to others, place by place.
create function redirect_claims_v1(merchant_ids bigint[], payment_ids bigint[], other_payment_ids bigint[]) returns void
language plpgsql set enable_seqscan to off set enable_hashjoin to off set enable_mergejoin to off as $$
begin
    update request_claim c
    set payment_id = g.other_payment_id
    from unnest(merchant_ids, payment_ids, other_payment_ids) as g (merchant_id, payment_id, other_payment_id)
    where c.merchant_id = g.merchant_id and c.payment_id = g.payment_id and g.other_payment_id <> g.payment_id;
end
$$;
