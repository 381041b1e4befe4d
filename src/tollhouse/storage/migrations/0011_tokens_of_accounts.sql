-- A token may stand for a stored card with a fresh security code, and then holds no card of its own.
alter table token
    add column account_id uuid,
    alter column key_version drop not null,
    add constraint token_of_account_has_no_card check (account_id is null or (sealed_card is null and merchant_id is not null));

-- Browsers name a stored card without a key, and so without its merchant.
create index account_by_id on account (account_id);
