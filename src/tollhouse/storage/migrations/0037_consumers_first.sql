-- Two indexes that begin with the merchant are the same to a planner who knows nothing of the rows yet, and for a row that its
-- key names it took the one by consumer: it read all of a merchant's rows to find one. Consumer ids are unique by themselves.
drop index account_consumer;
create index account_consumer on account (consumer_id, merchant_id);
drop index payment_consumer;
create index payment_consumer on payment (consumer_id, merchant_id);
