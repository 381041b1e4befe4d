-- Charge-backs, and the purchases by which they are repaid.

alter type operation_cause add value 'issuer';  -- the issuer decided it

-- One page for each charge-back. Of one purchase one try succeeds at the most, so that nobody repays twice.
create table repayment (
    merchant_id bigint not null,
    -- The charge-back.
    transaction_id bigint not null,
    -- The purchase of the page; another one once all its tries were declined.
    payment_id bigint not null,
    primary key (merchant_id, transaction_id),
    constraint repayment_payment_unique unique (merchant_id, payment_id)
);
