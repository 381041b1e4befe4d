-- The claim of an idempotency key by the request at `place` of a batch, from 1. It leads to a payment, to an operation on an earlier
-- transaction, or to neither.
create type request_claim_v1 as (
    place integer, merchant_id bigint, operation text, request_id text, digest bytea, payment_id bigint,
    transaction_id bigint
);

-- idempotency: Claim idempotency keys that are free, and return their number. A concurrent claimant is waited for: if it gives up, its key is
-- free.
create function claim_requests_v1(claims request_claim_v1[]) returns integer
language plpgsql as $$
declare
    won integer;
begin
    insert into request_claim (merchant_id, operation, request_id, digest, payment_id, transaction_id)
    select c.merchant_id, c.operation, c.request_id, c.digest, c.payment_id, c.transaction_id
    from unnest(claims) as c
    order by c.merchant_id, c.operation collate "C", c.request_id collate "C"
    on conflict do nothing;
    get diagnostics won = row_count;
    return won;
end
$$;
