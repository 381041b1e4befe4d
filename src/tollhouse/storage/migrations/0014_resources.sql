-- What merchants make and change by the API: sites, SKUs, consumers.

-- Ids of sites have nine digits; those that are there already stand aside.
create sequence site_number start 200000001;

alter table site
    -- A site that is switched off sells nothing.
    add column is_enabled boolean not null default true,
    add column auto_redirect boolean not null default false,
    -- What merchants keep with a site for their own pages: trackingCode, declineUrl, linkColor, ... by the names of the wire.
    add column extras jsonb not null default '{}' check (jsonb_typeof(extras) = 'object');

alter table sku
    add column external_id text not null default '',
    add column shown_on_payment_page boolean not null default true;

-- How far the names of a stem have been counted: SITE_NAME_COM_USD, SITE_NAME_COM_USD_2, ... The row is what two
-- creations at once wait for.
create table sku_stem (
    merchant_id bigint not null references merchant,
    stem text not null collate "C",
    counted integer not null check (counted > 0),
    primary key (merchant_id, stem)
);

-- Every site has a product without a price of its own, by which it can be named.
insert into sku (merchant_id, name, site_id, title, kind, prices, shown_on_payment_page)
select merchant_id, 'TECH_' || site_id, site_id, left(name, 64), 'one-time', '[]', false from site
on conflict do nothing;

alter table consumer
    -- 1 whitelist, 2 blacklist, 3 junior, 4 senior, 5 expert.
    add column group_id smallint not null default 3 check (group_id between 1 and 5),
    add column updated_at timestamptz not null default now();
