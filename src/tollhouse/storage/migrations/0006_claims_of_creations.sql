-- A request id may be that of something else than a payment: a site, a SKU, a consumer, a payment page.

alter table request_claim alter column payment_id drop not null;
