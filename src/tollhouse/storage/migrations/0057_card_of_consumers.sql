-- The source `consumer` is the last card with which the consumer paid themselves, or the one last verified where they never paid.

alter table consumer
    -- Whether the consumer paid with `last_account_id`. A verification puts no other card in the place of one that paid.
    add column has_paid boolean not null default false;

update consumer set has_paid = true where last_account_id is not null;
