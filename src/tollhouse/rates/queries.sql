-- name: insert_rates$
-- Insert the rates of some days, and correct those that differ. Return the number of new and corrected rates.
with written as (
    insert into exchange_rate (day, currency, rate)
    select day, currency, rate
    from unnest(:days::date[], :currencies::text[], :rates::numeric[]) as given (day, currency, rate)
    on conflict (day, currency) do update set rate = excluded.rate, loaded_at = now()
    where exchange_rate.rate <> excluded.rate
    returning 1
)
select count(*) from written;

-- name: delete_other_rates$
-- Delete rates of these days that are not in the file, because a table covers its whole day. Return their number.
with removed as (
    delete from exchange_rate as known
    where known.day = any(:days::date[]) and not exists (
        select from unnest(:table_days::date[], :currencies::text[]) as given (day, currency)
        where given.day = known.day and given.currency = known.currency
    )
    returning 1
)
select count(*) from removed;

-- name: select_latest_rates
-- List the rates of the newest day.
select day, currency, rate from exchange_rate where day = (select max(day) from exchange_rate);
