-- The tables of the lean limit: the fewest rows and indexes that still hold a card payment, its consumer, its stored card, its event and
-- its two ledger lines. No schema of the gateway moves this limit. Written once for pgbench (lean_limit.sql), in an empty database.

create table merchant (
    id bigint primary key,
    key_hash bytea unique
);

create table payment (
    id bigint generated always as identity,
    merchant_id bigint not null,
    order_id bigint not null,
    consumer_id uuid not null,
    account_id uuid,
    request_id text,
    status smallint not null,
    mode smallint not null,
    amount_minor bigint not null,
    currency char(3) not null,
    code text,
    description text,
    site_id bigint,
    metadata jsonb,
    ipn_url text,
    redirect_url text,
    created_at timestamptz not null default now(),
    updated_at timestamptz,
    primary key (merchant_id, id)
);
create unique index payment_request on payment (merchant_id, request_id);
create index payment_consumer on payment (merchant_id, consumer_id);

create table account (
    id uuid,
    merchant_id bigint,
    consumer_id uuid,
    fingerprint bytea,
    first6 text,
    last4 text,
    brand text,
    expiry_month smallint,
    expiry_year smallint,
    sealed_card bytea,
    key_version integer,
    created_at timestamptz default now(),
    primary key (merchant_id, id)
);
create unique index account_fingerprint on account (merchant_id, consumer_id, fingerprint);

create table consumer (
    id uuid,
    merchant_id bigint,
    external_id text,
    email text,
    first_name text,
    last_name text,
    country text,
    primary key (merchant_id, id)
);
create unique index consumer_external_id on consumer (merchant_id, external_id);

create table event (
    id bigint generated always as identity primary key,
    merchant_id bigint,
    payment_id bigint,
    url text,
    body bytea,
    due_at timestamptz default now(),
    attempts smallint default 0,
    delivered_at timestamptz
);
create index event_due on event (due_at) where delivered_at is null;

create table ledger (
    id bigint generated always as identity primary key,
    merchant_id bigint,
    payment_id bigint,
    account smallint,
    amount_minor bigint,
    currency char(3),
    created_at timestamptz default now()
);

-- The intention: a consumer who may be known, a card that may be stored, and the payment. Returns the payment's id.
create function begin_payment(
    merchant bigint, request text, new_consumer uuid, external text, mail text, first_name text, last_name text, new_account uuid,
    card_fingerprint bytea, card_first6 text, card_last4 text, card_brand text, card bytea, amount bigint, money_currency text,
    data jsonb, ipn text, redirect text
) returns bigint language plpgsql as $$
declare
    payer uuid;
    stored uuid;
    payment_id bigint;
begin
    insert into consumer
    values (new_consumer, merchant, external, mail, first_name, last_name, 'USA')
    on conflict (merchant_id, external_id) do update set email = excluded.email
    returning id into payer;
    insert into account
    values (new_account, merchant, payer, card_fingerprint, card_first6, card_last4, card_brand, 12, 2030, card, 1, now())
    on conflict (merchant_id, consumer_id, fingerprint) do update set expiry_month = excluded.expiry_month
    returning id into stored;
    insert into payment (
        merchant_id, order_id, consumer_id, account_id, request_id, status, mode, amount_minor, currency, site_id, metadata,
        ipn_url, redirect_url
    )
    values (merchant, 1, payer, stored, request, 0, 0, amount, money_currency, 1, data, ipn, redirect)
    returning id into payment_id;
    return payment_id;
end
$$;

-- The outcome: the payment's result, its event, and money on both sides of the ledger.
create function end_payment(
    merchant bigint, payment bigint, result smallint, result_code text, result_text text, ipn text, event_body bytea, amount bigint,
    money_currency text
) returns void language plpgsql as $$
begin
    update payment as p
    set status = result, code = result_code, description = result_text, updated_at = now()
    where p.merchant_id = merchant and p.id = payment;
    insert into event (merchant_id, payment_id, url, body) values (merchant, payment, ipn, event_body);
    insert into ledger (merchant_id, payment_id, account, amount_minor, currency)
    values (merchant, payment, 1, amount, money_currency), (merchant, payment, 2, -amount, money_currency);
end
$$;
