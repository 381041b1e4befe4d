-- Sites of merchants and the items they sell.

create type three_ds_rule as enum (
    'when_asked',  -- by the request, the issuer or the test card
    'always'       -- every payment in which the consumer takes part
);

-- The forms of callbacks a site requests. An event is stored with one of the first three.
create type ipn_format as enum (
    'json',
    'legacy',
    'both',
    'plugin',  -- sales and authorizations as JSON, voids and refunds as legacy: what the public WooCommerce plugin handles
    'none'
);

-- The shops of a merchant.
create table site (
    merchant_id bigint not null references merchant,
    site_id bigint not null,
    name text not null,
    external_id text not null default '',
    ipn_url text not null default '',
    redirect_url text not null default '',
    descriptor text not null default '',
    -- A disabled site sells nothing.
    is_enabled boolean not null default true,
    cors_enabled boolean not null default true,
    delayed_capture boolean not null default false,
    auto_redirect boolean not null default false,
    -- The second of two equal concurrent payments gets the first one's response.
    guards_double_clicks boolean not null default true,
    three_ds three_ds_rule not null default 'when_asked',
    -- Whether a payment proceeds when 3-D Secure could not be performed (status U).
    proceed_without_3ds boolean not null default true,
    ipn_format ipn_format not null default 'json',
    -- Whether callbacks are sent for changes of subscriptions without a payment: canceled, recovered, expired.
    subscription_events boolean not null default true,
    -- Kinds of events without a public form that the site requests as well.
    extra_events text[] not null default '{}',
    -- Values that merchants keep for their own pages: trackingCode, declineUrl, linkColor, ... under their names on the wire.
    extras jsonb not null default '{}' check (jsonb_typeof(extras) = 'object'),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (merchant_id, site_id),
    -- Site IDs are unique across merchants.
    constraint site_id_unique unique (site_id)
);

-- Whether an item starts a subscription. Never changes.
create type sku_kind as enum ('one-time', 'subscription');

-- Items for sale. Every site has a technical one without a price, named TECH_<site ID>.
create table sku (
    merchant_id bigint not null,
    name text not null collate "C" check (length(name) between 1 and 36),
    site_id bigint not null,
    title text not null,
    external_id text not null default '',
    kind sku_kind not null,
    shown_on_payment_page boolean not null default true,
    -- The schedule: [{"offset": "0d", "amount_minor": 1999, "currency": "USD", "repeat": false}, ...]
    prices jsonb not null check (jsonb_typeof(prices) = 'array'),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (merchant_id, name),
    foreign key (merchant_id, site_id) references site
);

-- The highest number used for generated SKU names: SITE_NAME_COM_USD, SITE_NAME_COM_USD_2, ... Its row lock orders concurrent creations.
create table sku_stem (
    merchant_id bigint not null references merchant,
    stem text not null collate "C",
    counted integer not null check (counted > 0),
    primary key (merchant_id, stem)
);
