-- The public words of transactions: the steps of a dispute, and statuses that are not final for every method.

-- The money of a bank transfer has arrived: success -> confirmed | fail. No method reaches it yet.
alter type transaction_status add value 'confirmed' after 'success';

create type dispute_step as enum (
    'retrieval',   -- the issuer asks for information
    'answer',      -- the merchant's answer was sent
    'first',       -- the issuer takes the money back
    'second',      -- the issuer takes it back once more, after the merchant has disputed the first
    'collection',  -- the case is handed to a collecting agency
    'won'          -- the money comes back to the merchant
);

alter table operation
    -- Of a charge-back: which step of its dispute it is.
    add column dispute_step dispute_step,
    -- How much it moved: less than the amount of the transaction where the issuer has a part of that already, 0 for a notice.
    add column moved_minor bigint check (moved_minor >= 0),
    -- How much of that is beyond what was left of the payment.
    add column excess_minor bigint check (excess_minor between 0 and moved_minor);

-- A charge-back is a fact, and as such it was successful. The public status is that of its step.
update operation o
set dispute_step = 'first', moved_minor = t.amount_minor, excess_minor = 0
from transaction t
where t.merchant_id = o.merchant_id and t.transaction_id = o.transaction_id and t.mode = 'chargeback';
update transaction set status = 'success', code = '0' where mode = 'chargeback';

alter table operation add constraint operation_dispute_is_whole check (
    (dispute_step is null) = (moved_minor is null) and (dispute_step is null) = (excess_minor is null)
);

-- A dispute that was won is the one movement that takes money out of the account of charge-backs.
alter table ledger_entry
    drop constraint ledger_entry_means_something,
    add constraint ledger_entry_means_something check (
        (debit, credit) in (
            ('holds.issuers', 'holds.merchants'),     -- an authorization holds
            ('holds.merchants', 'holds.issuers'),     -- a capture or a void releases
            ('money.acquirers', 'money.merchants'),   -- a sale or a capture takes
            ('money.merchants', 'money.acquirers'),   -- a void undoes that
            ('money.credits', 'money.acquirers'),     -- a credit gives back
            ('money.chargebacks', 'money.acquirers'), -- a charge-back takes back
            ('money.acquirers', 'money.chargebacks')  -- a dispute is won
        )
    );

-- One event for each final fact: a transaction has at most one of each status.
create unique index event_fact_unique on event (merchant_id, transaction_id, status) where transaction_id is not null;

-- What happens to subscriptions is posted from the start; what has no public form is posted where a site asks for it.
alter table site
    alter column subscription_events set default true,
    add column extra_events text[] not null default '{}';
update site
set extra_events = array['subscription.card_expiring']
where subscription_events;
update site set subscription_events = true;

-- The feed filters by the time that it shows, which is when a transaction was settled. Those that took long are found by it.
create index transaction_settled_late on transaction (merchant_id, created_at, transaction_id)
    where settled_at - created_at > interval '1 hour';
