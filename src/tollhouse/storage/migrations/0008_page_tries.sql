-- Payment pages: a purchase that a cardholder may try until one try succeeds.

-- Which try of a page's purchase this is; null for what was not paid on a page.
alter table transaction add column page_try smallint check (page_try > 0);

-- However often a form is sent, one try is one transaction, and what is paid or still open is not tried again.
create unique index transaction_page_try on transaction (merchant_id, payment_id, page_try) where page_try is not null;
create unique index transaction_page_charge on transaction (merchant_id, payment_id)
    where page_try is not null and status <> 'fail';
