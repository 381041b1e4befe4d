-- A payment to begin, with its first transaction and attempt. Null if absent: the token, the digest of equal payments, the
-- attempt of a page.
create type payment_intent_v1 as (
    place integer, merchant_id bigint, payment_id bigint, transaction_id bigint, site_id bigint, consumer_id text,
    terms json, consumer json, metadata json, ipn_url text, redirect_url text, request_id text, mode transaction_mode,
    amount_minor bigint, currency text, source_kind text, brand text, masked_number text, expiry_month smallint,
    expiry_year smallint, account_id uuid, is_stored boolean, initiator initiator, reason initiation_reason,
    network_transaction_id text, double_click_digest bytea, page_try smallint, created_at timestamptz, acquirer text,
    reference text, sealed_card bytea, key_version integer, fingerprint bytea, resolve_seconds double precision,
    sent_at timestamptz, token_id uuid
);

-- composition: Begin payments: idempotency keys, tokens, renewals, payments, consumers, subscriptions, velocity marks.
--
-- Each payment has one outcome:
--
-- - 'begun', or 'begun_before' by an earlier run of this batch, whose COMMIT got no response;
-- - 'claimed': its idempotency key belongs to another payment;
-- - 'token_gone': its token was used or has expired, and the idempotency key was released;
-- - 'superseded': the subscription that it renews has changed since it was leased;
-- - 'double_click': an equal payment is open, or another attempt of its page; its idempotency key leads to that one now.
--
-- A payment that was not begun leaves nothing else behind, except that the token of a double click is used. The order
-- of the statements is the order of the locks.
create function begin_payments_v1(
    payments payment_intent_v1[], claims request_claim_v1[], consumers consumer_v1[], subscriptions pending_subscription_v1[],
    renewals renewal_try_v1[], marks velocity_mark_v1[], window_seconds double precision, most integer
)
returns table (
    place integer, outcome text, group_id smallint, is_account_disabled boolean, holder_id bigint,
    counts velocity_count_v1[], database_time timestamptz
)
language plpgsql set enable_seqscan to off set enable_hashjoin to off set enable_mergejoin to off as $$
#variable_conflict use_column
declare
    waiting integer[];
    won integer[];
    refused integer[];
    begun integer[] := '{}';
    begun_before integer[] := '{}';
    claimed integer[] := '{}';
    gone integer[] := '{}';
    superseded integer[] := '{}';
    clicked integer[] := '{}';
    holders bigint[] := '{}';
begin
    if cardinality(claims) > 0 and claim_requests_v1(claims) < cardinality(claims) then
        -- A key that leads to the same payment was claimed by an earlier run of the batch.
        claimed := array(
            select g.place
            from unnest(claims) as g
            where g.payment_id is distinct from (
                select c.payment_id from request_claim c
                where c.merchant_id = g.merchant_id and c.operation = g.operation and c.request_id = g.request_id
            )
        );
    end if;

    if exists (select from unnest(payments) as p where p.token_id is not null) then
        with granted as materialized (
            select t.token_id, t.used_by
            from consume_tokens_v1(
                array(
                    select p.token_id from unnest(payments) as p
                    where p.token_id is not null and p.place <> all(claimed) order by p.place
                ),
                array(
                    select p.payment_id from unnest(payments) as p
                    where p.token_id is not null and p.place <> all(claimed) order by p.place
                )
            ) as t
        )
        select array(
            select p.place from unnest(payments) as p
            where p.token_id is not null and p.place <> all(claimed) and not exists (
                select from granted where granted.token_id = p.token_id and granted.used_by = p.payment_id
            )
        )
        into gone;
    end if;

    if cardinality(gone) > 0 then
        perform release_claims_v1(array(select c from unnest(claims) as c where c.place = any(gone)));
    end if;

    if cardinality(renewals) > 0 then
        superseded := begin_renewals_v1(
            array(select r from unnest(renewals) as r where r.place <> all(claimed) and r.place <> all(gone))
        );
    end if;

    waiting := array(
        select p.place from unnest(payments) as p
        where p.place <> all(claimed) and p.place <> all(gone) and p.place <> all(superseded)
    );
    for attempt_number in 1..4 loop
        exit when cardinality(waiting) = 0;
        if attempt_number = 4 then
            raise exception 'equal payments were finished between two reads, three times';
        end if;

        with inserted as (
            insert into open_attempt (
                merchant_id, transaction_id, number, payment_id, acquirer, reference, state, sealed_card, key_version,
                fingerprint, double_click_digest, resolve_at, sent_at
            )
            select p.merchant_id, p.transaction_id, 1, p.payment_id, p.acquirer, p.reference, 'in_flight',
                p.sealed_card, p.key_version, p.fingerprint, p.double_click_digest,
                now() + make_interval(secs => p.resolve_seconds), p.sent_at
            from unnest(payments) as p
            where p.place = any(waiting)
            -- An insert waits for an equal payment.
            order by p.merchant_id, coalesce(p.double_click_digest, '')
            on conflict do nothing
            returning transaction_id
        )
        select array(
            select p.place from unnest(payments) as p
            where p.transaction_id in (select transaction_id from inserted)
        )
        into won;

        with inserted as (
            insert into transaction (
                merchant_id, transaction_id, payment_id, mode, amount_minor, currency, source_kind, brand, masked_number,
                expiry_month, expiry_year, account_id, is_stored, initiator, reason, network_transaction_id, page_try,
                is_only, created_at
            )
            select p.merchant_id, p.transaction_id, p.payment_id, p.mode, p.amount_minor, p.currency, p.source_kind,
                p.brand, p.masked_number, p.expiry_month, p.expiry_year, p.account_id, p.is_stored, p.initiator, p.reason,
                p.network_transaction_id, p.page_try, p.page_try is not null, p.created_at
            from unnest(payments) as p
            where p.place = any(won)
            -- An insert waits for another attempt on the same page.
            order by p.merchant_id, case when p.page_try is not null then p.payment_id else 0 end
            on conflict do nothing
            returning transaction_id
        )
        select array(
            select p.place from unnest(payments) as p
            where p.place = any(won) and p.transaction_id not in (select transaction_id from inserted)
        )
        into refused;

        if cardinality(refused) > 0 then
            delete from open_attempt a
            using unnest(payments) as p
            where p.place = any(refused) and a.merchant_id = p.merchant_id and a.transaction_id = p.transaction_id
                and a.number = 1;
            won := array(select w from unnest(won) as w where w <> all(refused));
        end if;
        begun := begun || won;
        exit when cardinality(won) = cardinality(waiting);

        -- Find the payments in their place: themselves, an equal open payment, or another attempt on their page.
        with found as (
            select p.place, own.transaction_id is not null as is_own,
                coalesce(equal.payment_id, tried.payment_id) as payment_id
            from unnest(payments) as p
            left join transaction own
                on own.merchant_id = p.merchant_id and own.transaction_id = p.transaction_id
            left join open_attempt equal
                on equal.merchant_id = p.merchant_id and equal.double_click_digest = p.double_click_digest
            left join lateral (
                select payment_id from transaction t
                where t.merchant_id = p.merchant_id and t.payment_id = p.payment_id
                    and p.page_try is not null and t.page_try is not null
                limit 1
            ) tried on true
            where p.place = any(waiting) and p.place <> all(won)
        )
        select begun_before || array(select place from found where is_own order by place),
            clicked || array(select place from found where not is_own and payment_id is not null order by place),
            holders || array(select payment_id from found where not is_own and payment_id is not null order by place),
            array(select place from found where not is_own and payment_id is null order by place)
        into begun_before, clicked, holders, waiting;
    end loop;

    -- A payment on a page may be attempted again.
    insert into payment (
        merchant_id, payment_id, site_id, consumer_id, terms, consumer, metadata, ipn_url, redirect_url, request_id,
        created_at
    )
    select p.merchant_id, p.payment_id, p.site_id, p.consumer_id, p.terms, p.consumer, p.metadata, p.ipn_url,
        p.redirect_url, p.request_id, p.created_at
    from unnest(payments) as p
    where p.place = any(begun)
    on conflict do nothing;

    if cardinality(clicked) > 0 then
        perform redirect_claims_v1(array_agg(p.merchant_id), array_agg(p.payment_id), array_agg(equal.payment_id))
        from unnest(clicked, holders) as equal (place, payment_id)
        join unnest(payments) as p using (place);
    end if;

    if cardinality(begun) < cardinality(payments) then
        consumers := array(select c from unnest(consumers) as c where c.place = any(begun) or c.place = any(begun_before));
        subscriptions := array(select s from unnest(subscriptions) as s where s.place = any(begun));
        marks := array(select m from unnest(marks) as m where m.place = any(begun) or m.place = any(begun_before));
    end if;

    -- After the payments: a double click of an unnamed consumer would leave a consumer behind who never paid.
    if cardinality(consumers) > 0 then
        perform insert_consumers_v1(consumers);
    end if;

    if cardinality(subscriptions) > 0 then
        perform insert_pending_subscriptions_v1(subscriptions);
    end if;

    return query
    select p.place,
        case
            when p.place = any(begun) then 'begun'
            when p.place = any(begun_before) then 'begun_before'
            when p.place = any(claimed) then 'claimed'
            when p.place = any(gone) then 'token_gone'
            when p.place = any(superseded) then 'superseded'
            else 'double_click'
        end,
        (
            select c.group_id from consumer c where c.merchant_id = p.merchant_id and c.consumer_id = p.consumer_id
        ),
        (
            select a.disabled from account a where a.merchant_id = p.merchant_id and a.account_id = p.account_id
        ),
        holders[array_position(clicked, p.place)],
        counted.counts,
        clock_timestamp()
    from unnest(payments) as p
    left join (
        select * from record_attempts_v1(marks, begun, window_seconds, most) where cardinality(marks) > 0
    ) as counted using (place)
    order by p.place;
end
$$;
