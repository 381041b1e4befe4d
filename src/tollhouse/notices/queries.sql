-- name: insert_notices!
-- Store emails that are to be sent. One that exists stays as it is.
select enqueue_emails_v1(:emails::email_v1[]);

-- name: claim_notices
-- Lease due emails.
with due as (
    select merchant_id, notice_id
    from notice
    where state = 'waiting' and due_at <= now()
    order by due_at
    limit :most
    for update skip locked
)
update notice n
set lease = :lease, attempts = n.attempts + 1, due_at = now() + :span::interval
from due
where (n.merchant_id, n.notice_id) = (due.merchant_id, due.notice_id)
returning n.merchant_id, n.notice_id, n.recipient, n.language, n.facts, n.state, n.attempts, n.created_at, n.due_at,
    n.error, now() - n.created_at as age;

-- name: record_outcomes!
-- Record the outcomes of emails whose lease is still held.
update notice n
set state = given.state::notice_state, error = given.error, lease = null,
    due_at = now() + coalesce(given.delay, interval '0'),
    ended_at = case when given.state = 'waiting' then null else now() end
from unnest(
    :merchant_ids::bigint[], :notice_ids::bigint[], :leases::uuid[], :states::text[], :errors::text[], :delays::interval[]
) as given (merchant_id, notice_id, lease, state, error, delay)
where (n.merchant_id, n.notice_id) = (given.merchant_id, given.notice_id) and n.lease = given.lease;

-- name: release_notices!
-- Release leased emails that were not attempted.
update notice
set lease = null, attempts = attempts - 1, due_at = now()
where state = 'waiting' and lease = any(:leases::uuid[]);

-- name: select_recent_notices
-- List a merchant's emails, newest first.
select merchant_id, notice_id, recipient, language, facts, state, attempts, created_at, due_at, error,
    now() - created_at as age
from notice
where merchant_id = :merchant_id
order by notice_id desc
limit :most;

-- name: select_notice^
-- Return one of a merchant's emails.
select merchant_id, notice_id, recipient, language, facts, state, attempts, created_at, due_at, error,
    now() - created_at as age
from notice
where merchant_id = :merchant_id and notice_id = :notice_id;

-- name: count_waiting_notices$
-- Count waiting emails, up to a bound.
select count(*) from (select from notice where state = 'waiting' limit :most) as waiting;
