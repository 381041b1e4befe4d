-- Of a card number with twelve digits the first four are shown, for with six only two would be hidden.
alter table account
    drop constraint account_masked_number_check,
    add constraint account_masked_number_check check (masked_number ~ '^\d{4}(\d\d)?\*{4}\d{4}$');
