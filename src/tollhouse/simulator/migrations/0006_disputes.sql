-- Disputes: what the issuer charges back of a sale or a capture, some days after it.

create table dispute (
    dispute_id uuid primary key default gen_random_uuid(),
    -- The sale or the capture.
    reference text not null unique collate "C",
    -- The row of the journal that knows what of it is left: the sale itself, or the authorization that was captured.
    original_reference text not null collate "C",
    acceptor text not null,
    -- As the scheme numbers them.
    reason text not null,
    -- By the merchant's clock, as the message said it.
    due_at timestamptz not null,
    -- When the acquirer's customer acknowledged it; then it is told no more.
    taken_at timestamptz
);

create index dispute_open on dispute (due_at, dispute_id) where taken_at is null;
create index dispute_open_of_acceptor on dispute (acceptor, due_at, dispute_id) where taken_at is null;
