-- Reading back what happened: transactions newest first, by what people look for.

-- What is no first transaction of a payment: those are found in the order of the payments, so that a plain sale has no entry here.
create index transaction_later on transaction (merchant_id, created_at, transaction_id)
    where mode not in ('sale', 'auth') or page_try > 1;

create index payment_consumer on payment (merchant_id, consumer_id);
