-- How many renewals an hour has, against how many it should: a fault that charges too much is stopped within the hour. Real
-- time; merchants whose clock was advanced are not counted.
create table renewal_hour (
    hour timestamptz primary key check (hour = date_trunc('hour', hour, 'UTC')),
    -- Subscriptions with which there was something to do in this hour, as it was seen first.
    forecast integer not null check (forecast >= 0),
    begun integer not null default 0 check (begun >= 0),
    -- When the hour had too many. Whoever lets the renewals go on raises the forecast by what is due by then.
    paused_at timestamptz
);
