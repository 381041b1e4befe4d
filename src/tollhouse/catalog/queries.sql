-- Tables of: merchants.

-- name: select_site^
-- Return a merchant's site.
select merchant_id, site_id, name, ipn_url, redirect_url, descriptor, cors_enabled, delayed_capture,
    guards_double_clicks, three_ds, proceed_without_3ds, ipn_format, is_enabled
from site
where merchant_id = :merchant_id and site_id = :site_id;

-- name: select_sku^
-- Return a merchant's SKU by its name.
select site_id, name, title, prices from sku where merchant_id = :merchant_id and name = :name;

-- name: select_sku_entry^
-- Return all fields of a merchant's SKU.
select site_id, name, title, kind, prices, external_id, shown_on_payment_page,
    merchant_time_v1(merchant_id, created_at) as created_at,
    merchant_time_v1(merchant_id, updated_at) as updated_at
from sku
where merchant_id = :merchant_id and name = :name;

-- name: lock_sku_entry^
-- Lock a merchant's SKU and return all its fields.
select site_id, name, title, kind, prices, external_id, shown_on_payment_page,
    merchant_time_v1(merchant_id, created_at) as created_at,
    merchant_time_v1(merchant_id, updated_at) as updated_at
from sku
where merchant_id = :merchant_id and name = :name
for no key update;

-- name: count_sku_stem$
-- Count one more name of a stem. A concurrent count of the same stem waits until this database transaction ends.
insert into sku_stem as s (merchant_id, stem, counted)
values (:merchant_id, :stem, 1)
on conflict (merchant_id, stem) do update set counted = s.counted + 1
returning counted;

-- name: insert_named_sku^
-- Create a SKU and return all its fields. Return nothing if its name exists.
insert into sku (merchant_id, name, site_id, title, kind, prices, external_id, shown_on_payment_page)
values (:merchant_id, :name, :site_id, :title, :kind, :prices, :external_id, :is_shown)
on conflict (merchant_id, name) do nothing
returning site_id, name, title, kind, prices, external_id, shown_on_payment_page,
    merchant_time_v1(merchant_id, created_at) as created_at,
    merchant_time_v1(merchant_id, updated_at) as updated_at;

-- name: update_sku^
-- Update a locked SKU, and return all its fields.
update sku
set
    site_id = :site_id,
    title = :title,
    kind = :kind,
    prices = :prices,
    external_id = :external_id,
    shown_on_payment_page = :is_shown,
    updated_at = now()
where merchant_id = :merchant_id and name = :name
returning site_id, name, title, kind, prices, external_id, shown_on_payment_page,
    merchant_time_v1(merchant_id, created_at) as created_at,
    merchant_time_v1(merchant_id, updated_at) as updated_at;

-- name: select_cors_names
-- List the host names whose pages may call the API from browsers.
select distinct name from site where cors_enabled and name <> '';

-- name: insert_site$
-- Create a site with its technical SKU, and return whether it was missing. Keep an existing site unchanged.
with made as (
    insert into site (merchant_id, site_id, name, external_id, ipn_url, redirect_url, descriptor, delayed_capture)
    values (:merchant_id, :site_id, :name, :external_id, :ipn_url, :redirect_url, :descriptor, :delayed_capture)
    on conflict (site_id) do nothing
    returning merchant_id, site_id, name
),
technical as (
    insert into sku (merchant_id, name, site_id, title, kind, prices, shown_on_payment_page)
    select merchant_id, 'TECH_' || site_id, site_id, left(name, 64), 'one-time', '[]', false from made
    on conflict (merchant_id, name) do nothing
)
select true from made;

-- name: select_site_entry^
-- Return all fields of a merchant's site.
select merchant_id, site_id, name, external_id, ipn_url, redirect_url, descriptor, cors_enabled, delayed_capture,
    guards_double_clicks, three_ds, proceed_without_3ds, ipn_format, is_enabled, auto_redirect,
    subscription_events, extra_events, extras,
    merchant_time_v1(merchant_id, created_at) as created_at,
    merchant_time_v1(merchant_id, updated_at) as updated_at
from site
where merchant_id = :merchant_id and site_id = :site_id;

-- name: update_site^
-- Update the given fields of a site, and return all fields. Null leaves a field unchanged.
update site
set
    name = coalesce(:name, name),
    external_id = coalesce(:external_id, external_id),
    ipn_url = coalesce(:ipn_url, ipn_url),
    redirect_url = coalesce(:redirect_url, redirect_url),
    descriptor = coalesce(:descriptor, descriptor),
    is_enabled = coalesce(:is_enabled, is_enabled),
    cors_enabled = coalesce(:cors_enabled, cors_enabled),
    auto_redirect = coalesce(:auto_redirect, auto_redirect),
    delayed_capture = coalesce(:delayed_capture, delayed_capture),
    guards_double_clicks = coalesce(:guards_double_clicks, guards_double_clicks),
    proceed_without_3ds = coalesce(:proceed_without_3ds, proceed_without_3ds),
    three_ds = coalesce(:three_ds::three_ds_rule, three_ds),
    ipn_format = coalesce(:ipn_format::ipn_format, ipn_format),
    subscription_events = coalesce(:subscription_events, subscription_events),
    extra_events = coalesce(:extra_events::text[], extra_events),
    extras = extras || :extras::jsonb,
    updated_at = now()
where merchant_id = :merchant_id and site_id = :site_id
returning merchant_id, site_id, name, external_id, ipn_url, redirect_url, descriptor, cors_enabled, delayed_capture,
    guards_double_clicks, three_ds, proceed_without_3ds, ipn_format, is_enabled, auto_redirect,
    subscription_events, extra_events, extras,
    merchant_time_v1(merchant_id, created_at) as created_at,
    merchant_time_v1(merchant_id, updated_at) as updated_at;

-- name: update_site_host!
-- Move a site's URLs to another host, each if its path is unchanged. Keep a URL that was set since.
update site
set
    ipn_url = case
        when regexp_replace(ipn_url, '^https?://[^/]+', '') = regexp_replace(:ipn_url, '^https?://[^/]+', '')
        then :ipn_url
        else ipn_url
    end,
    redirect_url = case
        when regexp_replace(redirect_url, '^https?://[^/]+', '') = regexp_replace(:redirect_url, '^https?://[^/]+', '')
        then :redirect_url
        else redirect_url
    end
where merchant_id = :merchant_id and site_id = :site_id and (ipn_url, redirect_url) <> (:ipn_url, :redirect_url);

-- name: insert_sku!
-- Create a SKU. Keep an existing one unchanged.
insert into sku (merchant_id, name, site_id, title, kind, prices)
values (:merchant_id, :name, :site_id, :title, :kind, :prices)
on conflict (merchant_id, name) do nothing;
