-- Payments, the tables that every payment writes. A payment is everything under one order ID, a transaction is one operation on it, an
-- attempt is one acquirer request. No foreign keys among them: the writing statement guarantees the relation, the verifier checks it.

create type transaction_mode as enum (
    'sale',       -- authorization and capture in one step
    'auth',       -- an amount reserved on a card
    'capture',    -- of an authorization
    'void',       -- of an authorization, sale or capture before any refund
    'credit',     -- a refund
    'chargeback'  -- a step of a dispute
);

create type transaction_status as enum (
    'pending',    -- -> success | fail
    'success',    -- final; -> confirmed | fail for methods whose money arrives later, of which there are none yet
    'confirmed',  -- final
    'fail'        -- final
);

-- Who initiates a charge. Never changes.
create type initiator as enum ('customer', 'merchant');
-- Why a stored card is charged. Never changes.
create type initiation_reason as enum ('one_click', 'recurring', 'unscheduled');

-- Payments: data from the request that no later operation changes.
create table payment (
    merchant_id bigint not null,
    payment_id bigint not null,
    site_id bigint not null,
    created_at timestamptz not null,
    consumer_id text not null collate "C",
    request_id text not null,
    -- Agreed at the start: SKU, title, descriptor, callback format, rules for 3-D Secure, schedule. Here and below, json takes less space
    -- and less time to store than jsonb.
    terms json not null,
    -- The consumer as described by the request, under the names of the wire; no card data.
    consumer json not null,
    -- As sent, with order and number forms.
    metadata json not null,
    ipn_url text not null,
    redirect_url text not null,
    primary key (merchant_id, payment_id)
);

-- Lists payments newest first, for the portal.
create index payment_recent on payment (merchant_id, created_at, payment_id);
-- Finds the payments of a consumer. The consumer comes first because the planner, without statistics, prefers a shared prefix to the key.
create index payment_consumer on payment (consumer_id, merchant_id);

-- Transactions: sales, authorizations, and operations on them.
create table transaction (
    merchant_id bigint not null,
    transaction_id bigint not null,
    payment_id bigint not null,
    amount_minor bigint not null check (amount_minor >= 0),
    created_at timestamptz not null,
    finished_at timestamptz constraint transaction_final_has_time check ((finished_at is null) = (status = 'pending')),
    mode transaction_mode not null,
    status transaction_status not null default 'pending',
    initiator initiator not null,
    reason initiation_reason not null,
    -- The attempt on a payment page, from 1; null for payments without a page.
    page_try smallint check (page_try > 0),
    currency text not null check (length(currency) = 3),
    code text constraint transaction_final_has_code check (code is not null or status = 'pending'),
    network_transaction_id text,
    -- The card as far as it may be shown. `source_kind` is as sent; `is_stored`: the request named a stored card.
    source_kind text not null,
    brand text not null,
    masked_number text not null,
    expiry_year smallint not null,
    expiry_month smallint not null,
    account_id uuid not null,
    is_stored boolean not null,
    -- Of captures, voids and attempts on payment pages, of which a payment has one: this is the one. False once it failed.
    is_only boolean not null default false,
    -- It was finished more than an hour after it began.
    is_late boolean not null default false,
    primary key (merchant_id, transaction_id)
)
-- Room for the one update of each row on its page, so that no index is written again.
with (fillfactor = 60);

-- Finds the transactions of a payment. The payment comes first because the planner, without statistics, prefers a shared prefix to the key.
create index transaction_payment on transaction (payment_id, merchant_id);
-- Allows one capture of a payment that is open or successful.
create unique index transaction_capture_unique on transaction (merchant_id, payment_id)
    where mode = 'capture' and is_only;
-- Allows one void of a payment that is open or successful.
create unique index transaction_void_unique on transaction (merchant_id, payment_id)
    where mode = 'void' and is_only;
-- Makes one attempt on a payment page one transaction, however often its form is sent.
create unique index transaction_page_try on transaction (merchant_id, payment_id, page_try) where page_try is not null;
-- Allows no further attempt on a payment page while one is open or after one succeeded.
create unique index transaction_page_charge on transaction (merchant_id, payment_id)
    where page_try is not null and is_only;
-- Lists transactions other than the first of a payment by time; first ones are found through payment_recent.
create index transaction_later on transaction (merchant_id, created_at, transaction_id)
    where mode not in ('sale', 'auth') or page_try > 1;
-- Finds transactions that finished long after they began, for lists filtered by the finish time.
create index transaction_finished_late on transaction (merchant_id, created_at, transaction_id)
    where is_late;

create type attempt_state as enum (
    'in_flight',   -- -> approved | declined | not_sent | reversed | unknown | reversing | challenged
    'challenged',  -- -> in_flight (authenticated) | declined (failed or abandoned)
    'unknown',     -- -> approved | declined | reversed | reversing
    'reversing',   -- -> reversed; later responses of the acquirer about the original do not count
    'approved',    -- final
    'declined',    -- final
    'not_sent',    -- final
    'reversed'     -- final
);

-- Open attempts: requests to an acquirer that have no final outcome yet. Inserted and committed before the request is sent, deleted by the
-- outcome. Data that is needed only until then, or that changes until then, is only here.
create table open_attempt (
    merchant_id bigint not null,
    transaction_id bigint not null,
    payment_id bigint not null,
    sent_at timestamptz not null,
    -- When the resolver may query the acquirer. Null while a challenge is open.
    resolve_at timestamptz,
    state attempt_state not null constraint open_attempt_is_open check (
        state in ('in_flight', 'challenged', 'unknown', 'reversing')
    ),
    inquiries integer not null default 0,
    key_version integer,
    number smallint not null,
    -- Identifies the last state change, so that a repeated write recognizes its own; null before the first.
    moved_by uuid,
    acquirer text not null,
    -- Identifies the attempt at the acquirer forever.
    reference text not null,
    fingerprint bytea,
    -- Equal for two requests for the same purchase; see open_attempt_double_click.
    double_click_digest bytea,
    -- The card, sealed for the merchant: the resolver needs it if the process died.
    sealed_card bytea,
    primary key (merchant_id, transaction_id, number)
)
-- Every payment inserts and deletes a row: the space is used again soon.
with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- Finds attempts to resolve.
create index open_attempt_due on open_attempt (resolve_at) where resolve_at is not null;
-- Allows one open payment for equal requests: the second request gets the first one's response.
create unique index open_attempt_double_click on open_attempt (merchant_id, double_click_digest)
    where double_click_digest is not null;

-- Closed attempts, with their final outcome. Never changed.
create table closed_attempt (
    merchant_id bigint not null,
    transaction_id bigint not null,
    sent_at timestamptz not null,
    state attempt_state not null constraint closed_attempt_is_final check (
        state in ('approved', 'declined', 'not_sent', 'reversed')
    ),
    number smallint not null,
    -- Identifies the state change that closed it, so that a repeated write recognizes its own.
    moved_by uuid,
    acquirer text not null,
    -- Identifies the attempt at the acquirer forever. Null if it is the usual one, `transaction_id-number`.
    reference text,
    response_code text,
    advice_code text,
    approval_code text,
    primary key (merchant_id, transaction_id, number)
);

-- All attempts, open and closed.
create view attempt as
select merchant_id, transaction_id, number, acquirer, reference, state, sent_at, resolve_at, inquiries, sealed_card, key_version,
    fingerprint, double_click_digest, moved_by, null::text as response_code, null::text as advice_code,
    null::text as approval_code
from open_attempt
union all
select merchant_id, transaction_id, number, acquirer, coalesce(reference, transaction_id || '-' || number), state, sent_at, null,
    0, null, null, null, null, moved_by, response_code, advice_code, approval_code
from closed_attempt;

-- State changes of attempts and inquiries without a result. A payment approved at once has no rows here.
create table attempt_step (
    merchant_id bigint not null,
    transaction_id bigint not null,
    step_id bigint generated by default as identity,
    number smallint not null,
    -- Real time.
    at timestamptz not null default clock_timestamp(),
    -- Of a state change; null for an inquiry.
    left_state attempt_state,
    reached_state attempt_state,
    response_code text,
    primary key (merchant_id, transaction_id, step_id),
    constraint attempt_step_is_whole check ((left_state is null) = (reached_state is null))
);

create type operation_cause as enum (
    'request',   -- by the merchant
    'schedule',  -- at the capture time of the price
    'expiry',    -- not captured in time
    'issuer'     -- by the issuer
);

create type dispute_step as enum (
    'retrieval',   -- the issuer requests information
    'answer',      -- the merchant's answer was sent
    'first',       -- the issuer takes the money
    'second',      -- the issuer takes it again after the merchant contested the first
    'collection',  -- the case was given to a collection agency
    'won'          -- the money returns to the merchant
);

-- Data that captures, voids, refunds and chargebacks have in addition to every transaction.
create table operation (
    merchant_id bigint not null,
    transaction_id bigint not null,
    payment_id bigint not null,
    -- The sale, authorization or capture that it acts on.
    basis_id bigint not null,
    basis_mode transaction_mode not null,
    cause operation_cause not null,
    -- Of a chargeback: the step of its dispute.
    dispute_step dispute_step,
    -- The amount moved: less than the transaction's amount if the issuer already has part of it, 0 for a notice.
    moved_minor bigint check (moved_minor >= 0),
    -- The part of it beyond the rest of the payment.
    excess_minor bigint constraint operation_excess_is_part check (excess_minor between 0 and moved_minor),
    -- As given by the merchant.
    reason text check (length(reason) between 1 and 255),
    request_id text not null,
    created_at timestamptz not null,
    primary key (merchant_id, transaction_id),
    constraint operation_dispute_is_whole check (
        (dispute_step is null) = (moved_minor is null) and (dispute_step is null) = (excess_minor is null)
    )
);

-- Numbers the leases of holds.
create sequence hold_lease;

-- Holds: approved authorizations above zero that are neither captured nor voided. Merchant time, except the lease.
create table authorization_hold (
    merchant_id bigint not null,
    transaction_id bigint not null,
    payment_id bigint not null,
    -- When it is captured automatically. Null: never, or no longer because the issuer declined the capture.
    capture_at timestamptz,
    -- When it is voided.
    expires_at timestamptz not null,
    -- When the worker processes it.
    due_at timestamptz not null,
    -- The number of attempts by the worker.
    tries smallint not null default 0 check (tries >= 0),
    -- The fencing token of the last lease, and its end in real time.
    lease bigint,
    lease_until timestamptz,
    primary key (merchant_id, transaction_id),
    constraint authorization_hold_captured_in_time check (capture_at < expires_at)
);

-- Finds due holds by real time.
create index authorization_hold_due on authorization_hold (due_at);
-- Finds due holds of merchants whose clock was advanced.
create index authorization_hold_due_of_merchant on authorization_hold (merchant_id, due_at);

create type reversal_reason as enum (
    'not_found',     -- the acquirer did not know the reference: `fail` 1040
    'reversed',      -- reversed without being known: `fail` 1041
    'late_approval'  -- approved after the attempt had ended otherwise
);

-- Attempts that ended without the acquirer's response, or against it. A request may still arrive, or was approved too late: the
-- reference is reversed, and queried again later. Real times.
create table reversal (
    merchant_id bigint not null,
    transaction_id bigint not null,
    number smallint not null,
    acquirer text not null,
    reference text not null,
    reason reversal_reason not null,
    opened_at timestamptz not null default clock_timestamp(),
    -- When an approval came too late, and its code.
    approved_at timestamptz,
    approval_code text,
    -- When the acquirer acknowledged the reversal, which is repeated until then.
    acknowledged_at timestamptz,
    -- How often the acquirer has confirmed, after the acknowledgement, that it has no such transaction.
    inquiries smallint not null default 0 check (inquiries >= 0),
    -- Counts leases and late approvals: a result counts only if the version is unchanged.
    version integer not null default 0,
    tries integer not null default 0 check (tries >= 0),
    -- When the worker processes it. Null: never again.
    due_at timestamptz,
    primary key (merchant_id, transaction_id, number),
    constraint reversal_late_approval_has_time check ((reason = 'late_approval') = (approved_at is not null))
);

-- Finds due reversals.
create index reversal_due on reversal (due_at) where due_at is not null;
-- Finds late approvals, for the metrics.
create index reversal_late on reversal (approved_at) where approved_at is not null;

-- The subjects of velocity limits.
create type velocity_kind as enum ('consumer', 'card', 'address');

-- Charges and declines, counted for velocity limits. Written only if there are limits, and kept for one window.
create table velocity_mark (
    merchant_id bigint not null,
    kind velocity_kind not null,
    -- The consumer's ID, the card's keyed fingerprint in hex, or the address.
    key text not null collate "C",
    -- An attempt, or its decline by the issuer.
    is_decline boolean not null,
    noted_at timestamptz not null default now(),
    transaction_id bigint not null,
    primary key (merchant_id, kind, key, is_decline, noted_at, transaction_id)
);

-- Finds old rows for the sweep.
create index velocity_mark_age on velocity_mark (noted_at);
