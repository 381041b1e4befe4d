-- name: insert_rates$
-- Write the rates of some days; one that stood there otherwise is corrected. Return how many were written or corrected.
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
-- Remove what stands on these days and is not in the file: a table is of a day as a whole. Return how many there were.
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
