-- composition: Return the response to the request that led to a finished transaction, or null. It is the beginning of the body of the event.
-- Without a transaction it is that of the first transaction of the payment; of the attempts on a payment page, the last.
create function final_response_v1(merchant_id bigint, payment_id bigint, transaction_id bigint) returns bytea
language sql stable as $$
    select substring(e.body for e.answer_length) || '}'::bytea
    from event e
    where e.merchant_id = $1 and e.answer_length is not null and e.transaction_id = coalesce($3, (
        select t.transaction_id from transaction t
        where t.merchant_id = $1 and t.payment_id = $2 and t.mode in ('sale', 'auth')
        order by t.page_try desc nulls last
        limit 1
    ))
    limit 1
$$;
