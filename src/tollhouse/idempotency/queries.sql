-- Claims of idempotency keys.

-- name: claim_request(claim)$
-- Claim a key if it is free, and return the number of claims. Wait for a concurrent claimant.
select claim_requests_v1(array[:claim::request_claim_v1]);

-- name: take_over_claim(merchant_id, operation, request_id, digest, lease_seconds)$
-- Take over a claim without a response whose lease has expired. Returns no row if it has not.
update request_claim
set created_at = now()
where merchant_id = :merchant_id and operation = :operation and request_id = :request_id
    and digest = :digest and answer is null and created_at <= now() - make_interval(secs => :lease_seconds)
returning true;

-- name: select_claim(merchant_id, operation, request_id)^
-- Return the claim of a key, with the recorded response if there is one.
select merchant_id, digest, status, answer, payment_id, transaction_id
from request_claim
where merchant_id = :merchant_id and operation = :operation and request_id = :request_id;

-- name: update_answer(merchant_id, operation, request_id, status, answer)!
-- Record the response to the request that claimed a key. The first recorded response stays.
update request_claim
set status = :status, answer = :answer
where merchant_id = :merchant_id and operation = :operation and request_id = :request_id and answer is null;

-- name: release_claim(claim)!
-- Release the claim of a request that did nothing.
select release_claims_v1(array[:claim::request_claim_v1]);
