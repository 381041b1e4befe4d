-- Reference exchange rates.

-- Rates by day, as published by the European Central Bank: units of a currency for one euro.
create table exchange_rate (
    day date not null,
    currency text not null check (currency ~ '^[A-Z]{3}$' and currency <> 'EUR'),
    rate numeric not null check (rate > 0),
    loaded_at timestamptz not null default now(),
    primary key (day, currency)
);
