-- Tables of: merchants.

-- name: insert_authentications!
-- Insert authentications. Keep those that an earlier attempt of the same batch inserted.
select insert_authentications_v1(:authentications::authentication_v1[]);

-- name: select_by_page^
-- Return the authentication of a page.
select * from authentication where page_digest = :page_digest and state <> 'superseded';

-- name: select_by_return^
-- Return the authentication from whose challenge an ACS returns a browser.
select * from authentication where return_digest = :return_digest;

-- name: select_by_trans_id^
-- Return the authentication with the ID in an RReq or 3DS Method notification.
select * from authentication where three_ds_server_trans_id = :three_ds_server_trans_id;

-- name: select_newest^
-- Return the newest authentication of a merchant's transaction.
select * from authentication
where merchant_id = :merchant_id and transaction_id = :transaction_id
order by attempt_number desc, number desc
limit 1;

-- name: select_is_proof_used$
-- Return whether an authentication value (CAVV) belongs to another authentication.
select exists (select from authentication where cavv = :cavv and authentication_id <> :authentication_id);

-- name: update_method_completed!
-- Record that the 3DS Method finished before the AReq was sent.
update authentication
set method_completed_at = coalesce(method_completed_at, now())
where three_ds_server_trans_id = :three_ds_server_trans_id and state = 'collecting';

-- name: update_requested^
-- Store the browser's data and reserve the sending of the AReq. Return nothing if another process has reserved it.
update authentication
set state = 'requested', browser = :browser, requested_at = now()
where merchant_id = :merchant_id and authentication_id = :authentication_id and state = any(:origins::authentication_state[])
returning *;

-- name: update_answered^
-- Record the ARes. Return nothing if another process was faster.
update authentication
set state = :state::authentication_state,
    acs_trans_id = :acs_trans_id,
    ds_trans_id = :ds_trans_id,
    acs_url = :acs_url,
    trans_status = :trans_status,
    status_reason = :status_reason,
    eci = :eci,
    cavv = :cavv,
    answered_at = now(),
    result_at = case when :state::authentication_state in ('passed', 'failed') then now() end,
    due_at = case when :state::authentication_state in ('passed', 'failed') then least(due_at, now()) else due_at end,
    lease_until = case when :state::authentication_state in ('passed', 'failed') then now() + make_interval(secs => :grace_seconds) end
where merchant_id = :merchant_id and authentication_id = :authentication_id and state = 'requested'
returning *;

-- name: update_result^
-- Record the RReq. Return nothing if the challenge is over. A challenge that was never opened has no result.
update authentication
set state = :state::authentication_state,
    trans_status = :trans_status,
    status_reason = :status_reason,
    eci = :eci,
    cavv = :cavv,
    result_at = case when :state::authentication_state in ('passed', 'failed', 'abandoned') then now() end,
    due_at = case when :state::authentication_state = 'lapsed' then due_at else least(due_at, now()) end,
    lease_until = case when :state::authentication_state = 'lapsed' then null else now() + make_interval(secs => :grace_seconds) end
where merchant_id = :merchant_id and authentication_id = :authentication_id and state = 'challenged'
returning *;

-- name: update_opened^
-- Record that the browser got the CReq. Only the first time counts.
update authentication
set opened_at = coalesce(opened_at, now())
where merchant_id = :merchant_id and authentication_id = :authentication_id and state = 'challenged'
returning *;

-- name: update_waiting^
-- Record that a cardholder waits for the outcome. Only the first time counts.
update authentication
set waiting_since = coalesce(waiting_since, now())
where merchant_id = :merchant_id and authentication_id = :authentication_id
returning *;

-- name: update_abandoned^
-- Abandon an open authentication. Return nothing if it is decided.
update authentication
set state = 'abandoned', result_at = now(), due_at = least(due_at, now()), lease_until = now() + make_interval(secs => :grace_seconds)
where merchant_id = :merchant_id and authentication_id = :authentication_id and state = any(:origins::authentication_state[])
returning *;

-- name: update_superseded^
-- Mark an authentication as superseded. Return nothing if it is decided or already superseded.
update authentication
set state = 'superseded', due_at = null, lease_until = null
where merchant_id = :merchant_id and authentication_id = :authentication_id and state = any(:origins::authentication_state[])
returning *;

-- name: update_concluded!
-- Record that the attempt has followed the decision.
update authentication
set due_at = null, lease_until = null
where merchant_id = :merchant_id and authentication_id = :authentication_id and due_at is not null;

-- name: select_next_authentication$
-- Return the next due time of a merchant's authentications, in the merchant's time.
select min(due_at) from authentication where merchant_id = :merchant_id and due_at is not null;

-- name: select_authentications_busy$
-- Return whether any of a merchant's authentications was due at a moment and still is. A leased one still is.
select exists (select from authentication where merchant_id = :merchant_id and due_at <= :due_by);

-- name: lease_due_authentications
-- Lease due authentications, oldest first: expired ones, and those whose attempt did not follow their decision. By real
-- time, and for merchants with an advanced clock by the merchant's time.
with plain as (
    select merchant_id, authentication_id
    from authentication
    where due_at <= now() and (lease_until is null or lease_until <= now())
    order by due_at
    limit :limit
    for no key update skip locked
),
advanced as (
    select a.merchant_id, a.authentication_id
    from merchant m
    cross join lateral (
        select merchant_id, authentication_id
        from authentication a
        where a.merchant_id = m.merchant_id and a.due_at > now() and a.due_at <= now() + m.clock_offset
            and (a.lease_until is null or a.lease_until <= now())
        order by a.due_at
        limit :limit
        for no key update skip locked
    ) a
    where m.clock_offset > '0'
    limit :limit
),
due as (
    select * from plain union all select * from advanced
)
update authentication a
set lease_until = now() + make_interval(secs => :lease_seconds)
from due join merchant m using (merchant_id)
where a.merchant_id = due.merchant_id and a.authentication_id = due.authentication_id
returning a.*, m.clock_offset;
