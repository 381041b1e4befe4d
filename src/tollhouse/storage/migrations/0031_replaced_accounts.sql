-- Stored cards whose number was replaced, as an account updater told.

alter table account
    -- The account of the new number, which is paid with whoever names this one. Of several in a row, the last.
    add replaced_by uuid,
    add constraint account_replaced_by_another check (replaced_by <> account_id);

create index account_replaced_by on account (merchant_id, replaced_by) where replaced_by is not null;
