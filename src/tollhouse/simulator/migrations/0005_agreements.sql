-- Charges by the merchant, each under an agreement: the network transaction id of an approval of the customer.

alter table journal
    -- The id that a merchant's charge showed, right or wrong; null for the customer's own.
    add agreement text;

-- Whether an id was given out. Nothing but a customer's approval gives one.
create index journal_given_out on journal (network_transaction_id)
    where agreement is null and approval_code is not null;

-- The tries under an agreement.
create index journal_agreement on journal (agreement, received_at) where agreement is not null;
