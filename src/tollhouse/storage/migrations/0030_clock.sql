-- The virtual clock: its history, who is moving it, and the way to a merchant's challenges that run out.

-- Each step of a merchant's clock. What bears real time (a token, an attempt at a callback) is told in the merchant's time of
-- that moment from here; the last row is what `merchant.clock_offset` says. Empty in live.
create table clock_advance (
    merchant_id bigint not null references merchant,
    -- Real time.
    advanced_at timestamptz not null,
    -- How far ahead the merchant's time was from then on.
    clock_offset interval not null check (clock_offset > '0'),
    primary key (merchant_id, advanced_at)
);

insert into clock_advance (merchant_id, advanced_at, clock_offset)
select merchant_id, now(), clock_offset from merchant where clock_offset > '0';

-- How far ahead a merchant's time was at a moment of real time.
create function clock_offset_at(bigint, timestamptz) returns interval
    language sql stable strict parallel safe
    return coalesce(
        (
            select a.clock_offset
            from clock_advance a
            where a.merchant_id = $1 and a.advanced_at <= $2
            order by a.advanced_at desc
            limit 1
        ),
        '0'
    );

-- The merchant's time at a moment of real time.
create function merchant_time(bigint, timestamptz) returns timestamptz
    language sql stable strict parallel safe
    return $2 + clock_offset_at($1, $2);

-- Who is moving the clock, and until when, in real time: one at a time.
alter table merchant
    add column clock_lease uuid,
    add column clock_lease_until timestamptz;

-- `expires_at` and `due_at` are the merchant's time, the others are real. The lease of the sweep, and the time in which whoever
-- decided an authentication lets its attempt follow, move with no clock.
alter table authentication add column lease_until timestamptz;

create index authentication_due_of_merchant on authentication (merchant_id, due_at) where due_at is not null;
