-- name: select_site^
-- Return a merchant's site.
select merchant_id, site_id, name, ipn_url, redirect_url, descriptor, cors_enabled, delayed_capture,
    guards_double_clicks, three_ds, goes_on_unauthenticated, ipn_format
from site
where merchant_id = :merchant_id and site_id = :site_id;

-- name: select_sku^
-- Return a merchant's SKU by its name.
select site_id, name, title, prices from sku where merchant_id = :merchant_id and name = :name;

-- name: select_cors_names
-- List the host names from which browsers may call.
select distinct name from site where cors_enabled and name <> '';

-- name: insert_site!
-- Create a site; one that exists stays as it is.
insert into site (merchant_id, site_id, name, external_id, ipn_url, redirect_url, descriptor, delayed_capture)
values (:merchant_id, :site_id, :name, :external_id, :ipn_url, :redirect_url, :descriptor, :delayed_capture)
on conflict (site_id) do nothing;

-- name: update_site_host!
-- Move a site's addresses to another host, each where its path is the same: an address that was chosen since stays.
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
-- Create a SKU; one that exists stays as it is.
insert into sku (merchant_id, name, site_id, title, kind, prices)
values (:merchant_id, :name, :site_id, :title, :kind, :prices)
on conflict (merchant_id, name) do nothing;
