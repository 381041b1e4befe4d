-- Attempts that were settled without the acquirer's answer, or against it. The request may still arrive, or an approval may have come
-- too late: what the acquirer took under such a reference is reversed, and it is asked again later whether it has anything.

create type reversal_reason as enum (
    'not_found',     -- the acquirer knew nothing of it: `fail` 1040
    'reversed',      -- it was reversed without being known: `fail` 1041
    'late_approval'  -- it was approved after it had been settled otherwise
);

-- One row an attempt. Times are real.
create table reversal (
    merchant_id bigint not null,
    transaction_id bigint not null,
    number smallint not null,
    acquirer text not null,
    reference text not null,
    reason reversal_reason not null,
    opened_at timestamptz not null default clock_timestamp(),
    -- When an approval came that was too late, and its code.
    approved_at timestamptz,
    approval_code text,
    -- When the acquirer acknowledged the reversal. Null: it is repeated until that.
    acknowledged_at timestamptz,
    -- How often the acquirer has said, after the acknowledgement, that there is nothing.
    inquiries smallint not null default 0 check (inquiries >= 0),
    -- Counts leases and late approvals: a result counts only if nothing came between.
    version integer not null default 0,
    tries integer not null default 0 check (tries >= 0),
    -- When the worker looks at it. Null: never again.
    due_at timestamptz,
    primary key (merchant_id, transaction_id, number),
    constraint reversal_late_approval_has_time check ((reason = 'late_approval') = (approved_at is not null))
);

create index reversal_due on reversal (due_at) where due_at is not null;
create index reversal_late on reversal (approved_at) where approved_at is not null;
