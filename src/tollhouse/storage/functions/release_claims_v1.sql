-- idempotency: Release the keys of requests that did nothing, unless they lead to another payment.
create function release_claims_v1(claims request_claim_v1[]) returns void
language plpgsql set enable_seqscan to off set enable_hashjoin to off set enable_mergejoin to off as $$
begin
    delete from request_claim c
    using unnest(claims) as g
    where c.merchant_id = g.merchant_id and c.operation = g.operation and c.request_id = g.request_id
        and c.payment_id is not distinct from g.payment_id;
end
$$;
