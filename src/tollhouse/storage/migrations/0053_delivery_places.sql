-- What a claim knows of an endpoint, and which worker holds a lease.

alter table delivery_host
    -- Whether it ever acknowledged; one that has not gets one place.
    add column acknowledged boolean not null default false,
    -- Whether its last attempt took longer than a second.
    add column slow boolean not null default false,
    -- Until when it asked by `Retry-After` to be left alone, in the merchant's time. An acknowledgement does not end that.
    add column asked_until timestamptz not null default '-infinity';

update delivery_host set acknowledged = failures = 0;

-- A worker that delivers, and when it last said so, in real time. What one that is silent had leased is taken back before the
-- leases run out.
create table delivery_worker (
    worker_id bigint primary key,
    seen_at timestamptz not null default now()
);

alter table delivery add column worker_id bigint;
