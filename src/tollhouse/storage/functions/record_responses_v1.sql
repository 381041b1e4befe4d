-- The response to the requests that lead to a transaction. `is_first` is true for the first transaction of its payment.
create type response_v1 as (
    merchant_id bigint, payment_id bigint, transaction_id bigint, is_first boolean, answer bytea
);

-- idempotency: Record responses for the requests that lead to these transactions and have none yet. The first recorded response stays.
create function record_responses_v1(responses response_v1[]) returns void
language plpgsql set enable_seqscan to off set enable_hashjoin to off set enable_mergejoin to off as $$
begin
    update request_claim c
    set status = 201, answer = r.answer
    from unnest(responses) as r
    where c.merchant_id = r.merchant_id and c.payment_id = r.payment_id and c.answer is null
        and (c.transaction_id = r.transaction_id or (c.transaction_id is null and r.is_first));
end
$$;
