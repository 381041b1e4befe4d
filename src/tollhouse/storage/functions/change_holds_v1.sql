-- A change to the hold of an authorization: 'opened' by its approval; 'closed' by a capture, a void or its last failed
-- release; 'not_captured' if the issuer declined the scheduled capture. `finished_at` is the merchant's time.
create type hold_change_v1 as (
    place integer, merchant_id bigint, transaction_id bigint, payment_id bigint, change text, finished_at timestamptz,
    capture_after interval, valid_for interval
);

-- payments: Open and close holds.
create function change_holds_v1(changes hold_change_v1[]) returns void
language plpgsql set enable_seqscan to off set enable_hashjoin to off set enable_mergejoin to off as $$
begin
    insert into authorization_hold (merchant_id, transaction_id, payment_id, capture_at, expires_at, due_at)
    select merchant_id, transaction_id, payment_id, finished_at + capture_after, finished_at + valid_for,
        finished_at + coalesce(capture_after, valid_for)
    from unnest(changes)
    where change = 'opened'
    order by merchant_id, transaction_id
    on conflict do nothing;

    perform from authorization_hold h
    join unnest(changes) as g using (merchant_id, transaction_id)
    where g.change <> 'opened'
    order by h.merchant_id, h.transaction_id
    for update of h;

    delete from authorization_hold h
    using unnest(changes) as g
    where g.change = 'closed' and h.merchant_id = g.merchant_id and h.transaction_id = g.transaction_id;

    update authorization_hold h
    set capture_at = null, due_at = expires_at
    from unnest(changes) as g
    where g.change = 'not_captured' and h.merchant_id = g.merchant_id and h.transaction_id = g.transaction_id;
end
$$;
