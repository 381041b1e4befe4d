-- Tables of: billing, composition, consumers, idempotency, merchants, vault.

-- name: select_final_response$
-- Return the response to the request that led to a finished transaction, or nothing.
select final_response_v1(:merchant_id, :payment_id, :transaction_id);

-- name: begin_payments
-- Begin payments in one round trip, and return the outcome of each, in their order.
select * from begin_payments_v1(
    :payments::payment_intent_v1[], :claims::request_claim_v1[], :consumers::consumer_v1[],
    :subscriptions::pending_subscription_v1[], :renewals::renewal_try_v1[], :marks::velocity_mark_v1[], :window_seconds, :max_count
);

-- name: finish_payments
-- Finish attempts in one round trip, with the rows of all finish hooks, and return the result of each, in their order.
select * from finish_payments_v1(
    :outcomes::attempt_outcome_v1[], :next_attempts::next_attempt_v1[], :authentications::authentication_v1[],
    :codes::security_code_v1[], :cards::card_v1[], :last_accounts::last_account_v1[], :subscriptions::subscription_v1[],
    :forgotten::forgotten_subscription_v1[], :renewals::renewal_outcome_v1[], :entries::ledger_entry_v1[],
    :holds::hold_change_v1[], :events::event_v1[], :emails::email_v1[], :declines::velocity_mark_v1[]
);

-- name: lease_due_reversals
-- Lease references that are due to be reversed or queried, oldest first. All times are real.
with due as (
    select merchant_id, transaction_id, number
    from reversal
    where due_at <= now()
    order by due_at
    limit :limit
    for no key update skip locked
),
leased as (
    update reversal r
    set due_at = now() + make_interval(secs => :lease_seconds), version = version + 1
    from due
    where r.merchant_id = due.merchant_id and r.transaction_id = due.transaction_id and r.number = due.number
    returning r.*
)
select leased.*, t.amount_minor, t.currency
from leased join transaction t using (merchant_id, transaction_id);

-- name: update_reversal_acknowledged!
-- Record that the acquirer acknowledged a reversal, and the next inquiry, counted from the first reversal; null for none.
update reversal
set acknowledged_at = clock_timestamp(), tries = 0,
    due_at = coalesce(approved_at, opened_at) + make_interval(secs => :next_seconds)
where merchant_id = :merchant_id and transaction_id = :transaction_id and number = :number and version = :version;

-- name: update_reversal_inquired!
-- Record that the acquirer does not know a reference, and the next inquiry, counted from the first reversal; null for none.
update reversal
set inquiries = inquiries + 1, tries = 0, acknowledged_at = coalesce(acknowledged_at, clock_timestamp()),
    due_at = coalesce(approved_at, opened_at) + make_interval(secs => :next_seconds)
where merchant_id = :merchant_id and transaction_id = :transaction_id and number = :number and version = :version;

-- name: update_reversal_approved!
-- Record a late approval of a reference. Its reversal is due next.
update reversal
set reason = 'late_approval', approved_at = clock_timestamp(), approval_code = :approval_code, acknowledged_at = null,
    inquiries = 0, tries = 0, version = version + 1, due_at = now()
where merchant_id = :merchant_id and transaction_id = :transaction_id and number = :number and version = :version;

-- name: postpone_reversal!
-- Postpone a reversal or an inquiry.
update reversal
set tries = tries + 1, due_at = now() + make_interval(secs => :seconds)
where merchant_id = :merchant_id and transaction_id = :transaction_id and number = :number and version = :version;

-- name: select_late_approvals^
-- Count late approvals, and those whose reversal is not acknowledged yet.
select count(*) as found, count(*) filter (where acknowledged_at is null) as unreversed
from reversal
where approved_at is not null;

-- name: record_response$
-- Record the response to a client whose transaction was open, and return the response that repeats get.
select record_pending_response_v1(:merchant_id, :payment_id, :transaction_id, :is_first, :answer);

-- name: select_payments
-- Return payments by the IDs of some of their transactions, each with its newest attempt. A chargeback has none.
select p.merchant_id, p.payment_id, t.transaction_id, p.site_id, p.consumer_id, p.terms, p.consumer,
    p.metadata::text as metadata, p.ipn_url, p.redirect_url, coalesce(o.request_id, p.request_id) as request_id,
    t.created_at, o.basis_id, o.basis_mode, basis.amount_minor as basis_amount_minor, o.cause, o.reason as why,
    o.dispute_step, o.moved_minor, o.excess_minor,
    t.mode, t.status, t.amount_minor, t.currency, t.source_kind, t.brand, t.masked_number, t.expiry_month, t.expiry_year,
    t.account_id, t.is_stored, t.initiator, t.reason, t.code, t.network_transaction_id, t.page_try, t.finished_at,
    a.double_click_digest, a.number, a.acquirer, a.reference, a.state, a.sealed_card, a.key_version, a.fingerprint, a.sent_at, a.inquiries,
    a.response_code, a.advice_code, a.approval_code,
    (
        select stored.disabled from account stored
        where stored.merchant_id = t.merchant_id and stored.account_id = t.account_id
    ) as is_account_disabled,
    (
        -- The subscriptions that it started, renewed or gave another card.
        select json_agg(json_build_object(
            'subscription_id', s.subscription_id, 'status', s.status, 'cycle', s.cycle, 'site_id', s.site_id,
            'consumer_id', s.consumer_id, 'sku_name', s.sku_name, 'renewal_at', s.renewal_at, 'cancel_at', s.cancel_at
        ) order by s.subscription_id)
        from subscription s
        where s.merchant_id = p.merchant_id and s.status <> 'pending' and (
            s.payment_id = p.payment_id
            or s.subscription_id = coalesce(p.terms -> 'renewing' ->> 'id', p.terms ->> 'changing')::bigint
        )
    ) as subscriptions
from unnest(:transaction_ids::bigint[]) as given (transaction_id)
join transaction t on t.merchant_id = :merchant_id and t.transaction_id = given.transaction_id
join payment p on p.merchant_id = t.merchant_id and p.payment_id = t.payment_id
left join lateral (
    select * from attempt a
    where a.merchant_id = t.merchant_id and a.transaction_id = t.transaction_id
    order by a.number desc
    limit 1
) a on true
left join operation o on o.merchant_id = t.merchant_id and o.transaction_id = t.transaction_id
left join transaction basis on basis.merchant_id = o.merchant_id and basis.transaction_id = o.basis_id;

-- name: select_cards
-- Return stored cards, or their replacements, with their consumers' profiles, by the requested IDs.
select named.account_id as named_id, a.merchant_id, a.account_id, a.consumer_id, a.key_version, a.sealed_card, a.brand,
    a.masked_number, a.expiry_month, a.expiry_year, a.disabled, a.network_transaction_id, c.external_id, c.profile
from unnest(:merchant_ids::bigint[], :account_ids::uuid[]) as given (merchant_id, account_id)
join account named using (merchant_id, account_id)
join account a on a.merchant_id = named.merchant_id and a.account_id = coalesce(named.replaced_by, named.account_id)
join consumer c on c.merchant_id = a.merchant_id and c.consumer_id = a.consumer_id;

-- name: select_payment_transaction$
-- Return the first transaction of a payment, or the newest attempt on a payment page. It need not have the lowest ID, because each
-- process takes IDs from blocks of its own.
select transaction_id from transaction
where merchant_id = :merchant_id and payment_id = :payment_id and mode in ('sale', 'auth')
order by page_try desc nulls last
limit 1;

-- name: lease_due_attempts
-- Lease attempts that are due for the resolver, oldest first, and return the clock offset of their merchants. All times are real.
with due as (
    select merchant_id, transaction_id, number
    from open_attempt
    where resolve_at <= now()
    order by resolve_at
    limit :limit
    for no key update skip locked
),
leased as (
    update open_attempt a
    set resolve_at = now() + make_interval(secs => :lease_seconds)
    from due
    where a.merchant_id = due.merchant_id and a.transaction_id = due.transaction_id and a.number = due.number
    returning a.merchant_id, a.transaction_id
)
select merchant_id, transaction_id, m.clock_offset from leased join merchant m using (merchant_id);

-- name: select_attempts_busy$
-- Return whether an acquirer is being called for a merchant, or is about to be queried for the first time about an attempt.
select exists (
    select from open_attempt
    where resolve_at is not null and merchant_id = :merchant_id and sent_at <= :sent_by
        and (state = 'in_flight' or (state in ('unknown', 'reversing') and inquiries = 0))
);

-- name: postpone_attempt!
-- Postpone an attempt, and record its inquiry if the acquirer was queried.
with postponed as (
    update open_attempt
    set resolve_at = now() + make_interval(secs => :seconds), inquiries = inquiries + 1
    where merchant_id = :merchant_id and transaction_id = :transaction_id and number = :number and resolve_at is not null
    returning merchant_id, transaction_id, number
)
insert into attempt_step (merchant_id, transaction_id, number)
select merchant_id, transaction_id, number from postponed where :was_asked;

-- name: select_unresolved$
-- Count attempts with an open outcome.
select count(*) from open_attempt where resolve_at is not null;

-- name: lock_payment!
-- Lock a payment, so that no other operation on it begins before this database transaction ends.
select from payment where merchant_id = :merchant_id and payment_id = :payment_id for no key update;

-- name: select_transactions
-- List the transactions of a payment, each with its newest attempt, and whether an authorization has expired.
select t.transaction_id, t.mode, t.status, t.amount_minor, t.currency, a.acquirer, a.reference, a.state, a.number,
    o.dispute_step, o.moved_minor,
    h.expires_at is null or h.expires_at <= now() + m.clock_offset as is_expired
from transaction t
join merchant m using (merchant_id)
left join lateral (
    select * from attempt a
    where a.merchant_id = t.merchant_id and a.transaction_id = t.transaction_id
    order by a.number desc
    limit 1
) a on true
left join authorization_hold h on h.merchant_id = t.merchant_id and h.transaction_id = t.transaction_id
left join operation o on o.merchant_id = t.merchant_id and o.transaction_id = t.transaction_id
where t.merchant_id = :merchant_id and t.payment_id = :payment_id
order by t.created_at, t.transaction_id
limit :max_rows;

-- name: insert_operation!
-- Begin an operation: insert its transaction, its attempt and its reference to the original transaction.
with inserted as (
    insert into transaction (
        merchant_id, transaction_id, payment_id, mode, amount_minor, currency, source_kind, brand, masked_number,
        expiry_month, expiry_year, account_id, is_stored, initiator, reason, is_only, created_at
    )
    values (
        :merchant_id, :transaction_id, :payment_id, :mode, :amount_minor, :currency, :source_kind, :brand, :masked_number,
        :expiry_month, :expiry_year, :account_id, :is_stored, :initiator, :reason, :is_only, :created_at
    )
),
tried as (
    insert into open_attempt (
        merchant_id, transaction_id, number, payment_id, acquirer, reference, state, resolve_at, sent_at
    )
    values (
        :merchant_id, :transaction_id, 1, :payment_id, :acquirer, :reference, 'in_flight',
        now() + make_interval(secs => :resolve_seconds), :sent_at
    )
)
insert into operation (
    merchant_id, transaction_id, payment_id, basis_id, basis_mode, cause, reason, request_id, created_at
)
values (
    :merchant_id, :transaction_id, :payment_id, :basis_id, :basis_mode, :cause, :why, :request_id, :created_at
);

-- name: insert_chargeback!
-- Begin a chargeback. It has no attempt, because no acquirer is called; the same database transaction finishes it.
with inserted as (
    insert into transaction (
        merchant_id, transaction_id, payment_id, mode, amount_minor, currency, source_kind, brand, masked_number,
        expiry_month, expiry_year, account_id, is_stored, initiator, reason, is_only, created_at
    )
    values (
        :merchant_id, :transaction_id, :payment_id, :mode, :amount_minor, :currency, :source_kind, :brand, :masked_number,
        :expiry_month, :expiry_year, :account_id, :is_stored, :initiator, :reason, :is_only, :created_at
    )
)
insert into operation (
    merchant_id, transaction_id, payment_id, basis_id, basis_mode, cause, reason, request_id, created_at, dispute_step,
    moved_minor, excess_minor
)
values (
    :merchant_id, :transaction_id, :payment_id, :basis_id, :basis_mode, :cause, :why, :request_id, :created_at,
    :dispute_step, :moved_minor, :excess_minor
);

-- name: select_clocks_ahead
-- Return the clock offsets of a merchant, or of all, that are ahead of real time.
select merchant_id, clock_offset
from merchant
where clock_offset > '0' and (:merchant_id::bigint is null or merchant_id = :merchant_id)
order by merchant_id
limit :max_rows;

-- name: update_reversing$
-- Begin to reverse an open attempt. Returns no row if it was not open.
update open_attempt
set state = 'reversing', inquiries = 0, resolve_at = now() + make_interval(secs => :resolve_seconds)
where merchant_id = :merchant_id and transaction_id = :transaction_id and number = :number
    and state in ('in_flight', 'unknown')
returning number;

-- name: lease_due_holds
-- Lease due authorization holds, oldest first: by real time, and by merchant time for merchants whose clock was advanced.
with plain as (
    select merchant_id, transaction_id
    from authorization_hold
    where due_at <= now() and (lease_until is null or lease_until <= now())
    order by due_at
    limit :limit
    for no key update skip locked
),
advanced as (
    select h.merchant_id, h.transaction_id
    from merchant m
    cross join lateral (
        select merchant_id, transaction_id
        from authorization_hold h
        where h.merchant_id = m.merchant_id and h.due_at > now() and h.due_at <= now() + m.clock_offset
            and (h.lease_until is null or h.lease_until <= now())
        order by h.due_at
        limit :limit
        for no key update skip locked
    ) h
    where m.clock_offset > '0'
    limit :limit
),
due as (
    select * from plain union all select * from advanced
)
update authorization_hold h
set lease = nextval('hold_lease'), lease_until = now() + make_interval(secs => :lease_seconds)
from due join merchant m using (merchant_id)
where h.merchant_id = due.merchant_id and h.transaction_id = due.transaction_id
returning h.merchant_id, h.transaction_id, h.lease, h.tries, h.capture_at,
    h.expires_at <= now() + m.clock_offset as is_expired, m.state = 'active' as is_merchant_active, m.clock_offset;

-- name: select_next_hold$
-- Return the merchant time at which the next hold of a merchant falls due.
select min(due_at) from authorization_hold where merchant_id = :merchant_id;

-- name: select_holds_busy$
-- Return whether any hold of a merchant is due by a merchant time, or is leased.
select exists (
    select from authorization_hold where merchant_id = :merchant_id and due_at <= :due_by
) or exists (
    select from authorization_hold where merchant_id = :merchant_id and lease_until > now()
);

-- name: postpone_hold!
-- Postpone a hold if the lease is still valid: by an interval, and without a scheduled capture until it expires.
update authorization_hold h
set due_at = greatest(
        now() + m.clock_offset + make_interval(secs => :pause_seconds),
        case when h.capture_at is null then h.expires_at end
    ),
    tries = h.tries + 1,
    lease_until = null
from merchant m
where m.merchant_id = h.merchant_id
    and h.merchant_id = :merchant_id and h.transaction_id = :transaction_id and h.lease = :lease;

-- name: delete_hold!
-- Delete a hold if the lease is still valid.
delete from authorization_hold
where merchant_id = :merchant_id and transaction_id = :transaction_id and lease = :lease;

-- name: select_feed_recent(merchant_id, since, created_at, transaction_id, max_rows)
-- Return the newest transactions of a merchant before a position and since a time: first transactions in the order of their payments,
-- which have the same time, merged with later transactions.
(
    select t.transaction_id, p.created_at
    from payment p
    join transaction t on t.merchant_id = p.merchant_id and t.payment_id = p.payment_id
    where p.merchant_id = :merchant_id and t.merchant_id = :merchant_id
        and t.mode in ('sale', 'auth') and coalesce(t.page_try, 1) = 1
        and p.created_at >= :since and p.created_at <= :created_at
        and (p.created_at, t.transaction_id) < (:created_at, :transaction_id)
    order by p.created_at desc, t.transaction_id desc
    limit :max_rows
)
union all
(
    select transaction_id, created_at
    from transaction
    where merchant_id = :merchant_id and (mode not in ('sale', 'auth') or page_try > 1)
        and created_at >= :since and (created_at, transaction_id) < (:created_at, :transaction_id)
    order by created_at desc, transaction_id desc
    limit :max_rows
)
order by created_at desc, transaction_id desc
limit :max_rows;

-- name: select_feed_later(merchant_id, since, created_at, transaction_id, max_rows)
-- Return the same, but only operations and further attempts on a page.
select transaction_id, created_at
from transaction
where merchant_id = :merchant_id and (mode not in ('sale', 'auth') or page_try > 1)
    and created_at >= :since and (created_at, transaction_id) < (:created_at, :transaction_id)
order by created_at desc, transaction_id desc
limit :max_rows;

-- name: select_feed_late(merchant_id, created_at, transaction_id, max_rows)
-- Return the newest transactions of a merchant before a position that finished more than an hour after they were made.
select transaction_id, created_at
from transaction
where merchant_id = :merchant_id and is_late
    and (created_at, transaction_id) < (:created_at, :transaction_id)
order by created_at desc, transaction_id desc
limit :max_rows;

-- name: select_feed_of_order(merchant_id, payment_id, created_at, transaction_id, max_rows)
-- Return the newest transactions of a payment before a position.
select transaction_id, created_at
from transaction
where merchant_id = :merchant_id and payment_id = :payment_id
    and (created_at, transaction_id) < (:created_at, :transaction_id)
order by created_at desc, transaction_id desc
limit :max_rows;

-- name: select_feed_of_consumer(merchant_id, consumer_id, created_at, transaction_id, max_rows)
-- Return the newest transactions of a consumer before a position.
select t.transaction_id, t.created_at
from payment p
join transaction t on t.merchant_id = p.merchant_id and t.payment_id = p.payment_id
where p.merchant_id = :merchant_id and p.consumer_id = :consumer_id
    and (t.created_at, t.transaction_id) < (:created_at, :transaction_id)
order by t.created_at desc, t.transaction_id desc
limit :max_rows;

-- name: select_feed_of_ids(merchant_id, transaction_ids, created_at, transaction_id, max_rows)
-- Return those of the given transactions that come before a position, newest first.
select transaction_id, created_at
from transaction
where merchant_id = :merchant_id and transaction_id = any(:transaction_ids::bigint[])
    and (created_at, transaction_id) < (:created_at, :transaction_id)
order by created_at desc, transaction_id desc
limit :max_rows;

-- name: select_feed_of_request
-- Return the transactions of an idempotency key: an operation, or the first transaction of a payment and its further attempts.
select t.transaction_id
from request_claim c
join transaction t on t.merchant_id = c.merchant_id and t.payment_id = c.payment_id
where c.merchant_id = :merchant_id and c.operation = any(:operations::text[]) and c.request_id = :request_id
    and (t.transaction_id = c.transaction_id or (c.transaction_id is null and t.mode in ('sale', 'auth')));

-- name: select_consumer_payments_count$
-- Count the payments of a consumer, up to a number.
select count(*) from (
    select from payment where merchant_id = :merchant_id and consumer_id = :consumer_id limit :max_rows
) p;

-- name: select_consumer_by_external_id$
-- Return the ID of the consumer with an external ID.
select consumer_id from consumer where merchant_id = :merchant_id and external_id = :external_id;

-- name: select_feed_matches
-- Return those of the given transactions that match. A null does not filter. A chargeback matches no status, only its step.
select t.transaction_id
from transaction t
join payment p on p.merchant_id = t.merchant_id and p.payment_id = t.payment_id
left join operation o on o.merchant_id = t.merchant_id and o.transaction_id = t.transaction_id
where t.merchant_id = :merchant_id and t.transaction_id = any(:transaction_ids::bigint[])
    and coalesce(t.finished_at, t.created_at) >= :since and coalesce(t.finished_at, t.created_at) < :until
    and (:status::text is null or t.status::text = :status and o.dispute_step is null)
    and (:steps::text[] is null or o.dispute_step::text = any(:steps::text[]))
    and (:mode::text is null or t.mode::text = :mode)
    and (:payment_id::bigint is null or t.payment_id = :payment_id)
    and (:site_id::bigint is null or p.site_id = :site_id)
    and (:consumer_id::text is null or p.consumer_id = :consumer_id);
