-- What is done with a payment after it was made: captures, voids and credits; and authorizations that wait for one.

-- An attempt that is being taken back: whatever the acquirer says of the original from now on, it does not count.
-- in_flight | unknown -> reversing -> reversed
alter type attempt_state add value 'reversing' after 'unknown';

-- By their names, since a value of an enum cannot be used by the transaction that adds it.
alter table attempt
    drop constraint attempt_final_has_no_card,
    add constraint attempt_final_has_no_card check (
        state::text in ('in_flight', 'challenged', 'unknown', 'reversing') or (sealed_card is null and resolve_at is null)
    );

-- The operation that took the request id. Null: the payment itself, or what is no payment at all.
alter table request_claim add column transaction_id bigint;

-- One that is open or done: a second capture, or a second void, of one purchase cannot be.
create unique index transaction_capture_unique on transaction (merchant_id, payment_id)
    where mode = 'capture' and status <> 'fail';
create unique index transaction_void_unique on transaction (merchant_id, payment_id)
    where mode = 'void' and status <> 'fail';

create type operation_cause as enum (
    'request',   -- the merchant asked for it
    'schedule',  -- the price said when to capture
    'expiry'     -- nobody captured in time
);

-- What a capture, void or credit has besides what every transaction has.
create table operation (
    merchant_id bigint not null,
    transaction_id bigint not null,
    payment_id bigint not null,
    -- The sale, authorization or capture that it acts on.
    basis_id bigint not null,
    basis_mode transaction_mode not null,
    cause operation_cause not null,
    -- As the merchant gave it.
    reason text check (length(reason) between 1 and 255),
    request_id text not null,
    created_at timestamptz not null,
    primary key (merchant_id, transaction_id)
);

create sequence hold_lease;

-- Authorizations above zero that were approved and neither captured nor released. Times are the merchant's, but the lease.
create table authorization_hold (
    merchant_id bigint not null,
    transaction_id bigint not null,
    payment_id bigint not null,
    -- When it is captured without anybody asking. Null: never, or no more since the issuer declined that.
    capture_at timestamptz,
    -- When it is released.
    expires_at timestamptz not null,
    -- When the worker looks at it.
    due_at timestamptz not null,
    -- How often the worker has tried.
    tries smallint not null default 0 check (tries >= 0),
    -- The fencing token of the last claim, and until when it holds, in real time.
    lease bigint,
    lease_until timestamptz,
    primary key (merchant_id, transaction_id),
    constraint authorization_hold_captured_in_time check (capture_at < expires_at)
);

create index authorization_hold_due on authorization_hold (due_at);
create index authorization_hold_due_of_merchant on authorization_hold (merchant_id, due_at);

-- Authorizations from before this table: they are released in time, and captured by who asks for it.
insert into authorization_hold (merchant_id, transaction_id, payment_id, expires_at, due_at)
select t.merchant_id, t.transaction_id, t.payment_id, t.settled_at + '7 days', t.settled_at + '7 days'
from transaction t
where t.mode = 'auth' and t.status = 'success' and t.amount_minor > 0;
