-- A stored card that a consumer paid with, or that was verified.
create type last_account_v1 as (
    place integer, merchant_id bigint, consumer_id text, account_id uuid, has_paid boolean
);

-- consumers: Store the account with which each consumer paid last, or which was verified last if the consumer never paid.
create function update_last_accounts_v1(accounts last_account_v1[]) returns void
language plpgsql set enable_seqscan to off set enable_hashjoin to off set enable_mergejoin to off as $$
begin
    -- A consumer who pays with the same card again is neither locked nor written.
    with given as (
        select distinct on (merchant_id, consumer_id) * from unnest(accounts)
        order by merchant_id, consumer_id, has_paid desc, place desc
    ), locked as materialized (
        select g.*
        from given as g
        join consumer c using (merchant_id, consumer_id)
        where (g.has_paid or not c.has_paid)
            and (c.last_account_id is distinct from g.account_id or c.has_paid is distinct from g.has_paid)
        order by c.merchant_id, c.consumer_id
        for no key update of c
    )
    update consumer c
    set last_account_id = g.account_id, has_paid = g.has_paid
    from locked as g
    where c.merchant_id = g.merchant_id and c.consumer_id = g.consumer_id and (g.has_paid or not c.has_paid);
end
$$;
