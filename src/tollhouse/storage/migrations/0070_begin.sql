-- The first durable step of a payment: one function, with the row types and functions of the owners of the tables.
-- A row's `place` is the payment of the batch that it belongs to, from 1. Row types and functions with a version are
-- never altered: another version is another name.

-- Keep the plans of these functions on indexes, also while the planner takes a table for empty: the options below are
-- those of every function of a durable step.

create type consumer_v1 as (
    place integer, merchant_id bigint, consumer_id text, external_id text, profile jsonb
);

-- Create consumers that do not exist yet; the others stay as they are. The row with the lowest place describes them.
create function insert_consumers_v1(consumers consumer_v1[]) returns void
language plpgsql set enable_seqscan to off set enable_hashjoin to off set enable_mergejoin to off as $$
begin
    insert into consumer (merchant_id, consumer_id, external_id, profile)
    select g.merchant_id, g.consumer_id, g.external_id, g.profile
    from unnest(consumers) as g
    where not exists (
        select from consumer c where c.merchant_id = g.merchant_id and c.consumer_id = g.consumer_id
    )
    order by g.merchant_id, g.consumer_id collate "C", g.place
    on conflict do nothing;
end
$$;

-- Consume tokens for payments, and erase their cards and security codes. Return the tokens that were unused and valid,
-- or consumed by the same payment before. Of several payments with one token, one comes back. Tokens expire by real
-- time: the merchant's time was checked when the request was read.
create function consume_tokens_v1(token_ids uuid[], payment_ids bigint[])
returns table (token_id uuid, used_by bigint)
language plpgsql set enable_seqscan to off set enable_hashjoin to off set enable_mergejoin to off as $$
#variable_conflict use_column
begin
    perform from token t
    where t.token_id = any(token_ids)
    order by t.token_id
    for no key update;

    return query
    update token t
    set used_by = given.payment_id, sealed_card = null
    from unnest(token_ids, payment_ids) as given (token_id, payment_id)
    where t.token_id = given.token_id
        and (t.used_by = given.payment_id or (t.used_by is null and t.expires_at > now()))
    returning t.token_id, t.used_by;

    delete from security_code c
    using unnest(token_ids, payment_ids) as given (token_id, payment_id)
    where c.holder_id = given.token_id
        and exists (select from token t where t.token_id = given.token_id and t.used_by = given.payment_id);
end
$$;

create type pending_subscription_v1 as (
    place integer, merchant_id bigint, subscription_id bigint, payment_id bigint, site_id bigint, consumer_id text,
    account_id uuid, sku_name text, title text, prices jsonb, anchor_at timestamptz, began_as_trial boolean,
    created_at timestamptz
);

-- Insert the subscriptions that payments start, as pending. Those that an earlier try of the batch wrote stay.
create function insert_pending_subscriptions_v1(subscriptions pending_subscription_v1[]) returns void
language plpgsql as $$
begin
    insert into subscription (
        merchant_id, subscription_id, payment_id, site_id, consumer_id, account_id, sku_name, title, prices, anchor_at,
        began_as_trial, created_at
    )
    select merchant_id, subscription_id, payment_id, site_id, consumer_id, account_id, sku_name, title, prices,
        anchor_at, began_as_trial, created_at
    from unnest(subscriptions)
    on conflict do nothing;
end
$$;

create type renewal_try_v1 as (
    place integer, merchant_id bigint, subscription_id bigint, lease bigint, period integer, try smallint,
    transaction_id bigint, payment_id bigint, account_id uuid, due_at timestamptz, tried_at timestamptz,
    fingerprint bytea, brand text
);

-- Insert renewal tries of subscriptions that are still as they were leased; the worker leaves these alone until the try
-- is finished. Return the places of the others. A try that an earlier try of the batch wrote is not among them.
create function begin_renewals_v1(renewals renewal_try_v1[]) returns integer[]
language plpgsql set enable_seqscan to off set enable_hashjoin to off set enable_mergejoin to off as $$
declare
    fitting integer[];
begin
    perform from subscription s
    join unnest(renewals) as g using (merchant_id, subscription_id)
    order by s.merchant_id, s.subscription_id
    for no key update of s;

    fitting := array(
        select g.place
        from unnest(renewals) as g
        join subscription s using (merchant_id, subscription_id)
        where s.lease = g.lease and s.next_period = g.period and s.account_id = g.account_id and s.due_at is not null
    );

    update subscription s
    set tries = g.try, due_at = null, lease = null, lease_until = null
    from unnest(renewals) as g
    where g.place = any(fitting) and s.merchant_id = g.merchant_id and s.subscription_id = g.subscription_id;

    insert into renewal (
        merchant_id, transaction_id, payment_id, subscription_id, period, try, account_id, due_at, tried_at, fingerprint,
        brand
    )
    select merchant_id, transaction_id, payment_id, subscription_id, period, try, account_id, due_at, tried_at,
        fingerprint, brand
    from unnest(renewals)
    where place = any(fitting);

    return array(
        select g.place
        from unnest(renewals) as g
        where not exists (
            select from renewal r where r.merchant_id = g.merchant_id and r.transaction_id = g.transaction_id
        )
    );
end
$$;

create type velocity_mark_v1 as (
    place integer, merchant_id bigint, kind velocity_kind, key text, transaction_id bigint
);

create type velocity_count_v1 as (kind velocity_kind, attempts bigint, declines bigint);

-- Count earlier attempts and declines within the window, up to `most`, then record the attempts whose place is fresh.
-- The marks of one batch count as if they had come one after the other.
create function record_attempts_v1(
    marks velocity_mark_v1[], fresh integer[], window_seconds double precision, most integer
)
returns table (place integer, counts velocity_count_v1[])
language plpgsql set enable_seqscan to off set enable_hashjoin to off set enable_mergejoin to off as $$
#variable_conflict use_column
begin
    return query
    select g.place, array_agg((g.kind, attempts.count + g.before, declines.count)::velocity_count_v1)
    from (
        select m.*, count(*) filter (where m.place = any(fresh)) over (
            partition by m.merchant_id, m.kind, m.key order by m.place
            rows between unbounded preceding and 1 preceding
        ) as before
        from unnest(marks) as m
    ) as g
    cross join lateral (
        select count(*) from (
            select from velocity_mark m
            where m.merchant_id = g.merchant_id and m.kind = g.kind and m.key = g.key and not m.is_decline
                and m.noted_at > now() - make_interval(secs => window_seconds)
                and m.transaction_id <> g.transaction_id
            limit most
        ) seen
    ) attempts
    cross join lateral (
        select count(*) from (
            select from velocity_mark m
            where m.merchant_id = g.merchant_id and m.kind = g.kind and m.key = g.key and m.is_decline
                and m.noted_at > now() - make_interval(secs => window_seconds)
            limit most
        ) seen
    ) declines
    group by g.place;

    insert into velocity_mark (merchant_id, kind, key, is_decline, transaction_id)
    select m.merchant_id, m.kind, m.key, false, m.transaction_id
    from unnest(marks) as m
    where m.place = any(fresh);
end
$$;

-- A payment to be begun, with its first transaction and attempt. Null where there is none: the idempotency key
-- (`operation`, `claimed_id`, `digest`), the token, the digest of equal purchases, the try of a page.
create type payment_intent_v1 as (
    place integer, merchant_id bigint, payment_id bigint, transaction_id bigint, site_id bigint, consumer_id text,
    terms jsonb, consumer jsonb, metadata json, ipn_url text, redirect_url text, request_id text, mode transaction_mode,
    amount_minor bigint, currency text, source jsonb, account_id uuid, initiator initiator, reason initiation_reason,
    network_transaction_id text, double_click_digest bytea, page_try smallint, created_at timestamptz, acquirer text,
    reference text, sealed_card bytea, key_version integer, fingerprint bytea, resolve_seconds double precision,
    sent_at timestamptz, operation text, claimed_id text, digest bytea, token_id uuid
);

-- Begin payments: idempotency keys, tokens, renewals, payments, consumers, subscriptions, velocity marks. Each payment
-- has one outcome:
--
-- - 'begun', or 'begun_before' by an earlier try of this batch, whose COMMIT got no response;
-- - 'claimed': its idempotency key belongs to another payment;
-- - 'token_gone': its token was used or has expired, and the idempotency key was released;
-- - 'superseded': the subscription that it renews has changed since it was leased;
-- - 'double_click': an equal payment is open, or another try of its page; its idempotency key leads to that one now.
--
-- A payment that was not begun leaves nothing else behind, except that the token of a double click is used. The order
-- of the statements is the order of the locks.
create function begin_payments_v1(
    payments payment_intent_v1[], consumers consumer_v1[], subscriptions pending_subscription_v1[],
    renewals renewal_try_v1[], marks velocity_mark_v1[], window_seconds double precision, most integer
)
returns table (
    place integer, outcome text, group_id smallint, is_account_disabled boolean, holder_id bigint,
    counts velocity_count_v1[], database_time timestamptz
)
language plpgsql set enable_seqscan to off set enable_hashjoin to off set enable_mergejoin to off as $$
#variable_conflict use_column
declare
    claims bigint := (select count(*) from unnest(payments) as p where p.operation is not null);
    claims_won bigint;
    waiting integer[];
    won integer[];
    begun integer[] := '{}';
    begun_before integer[] := '{}';
    claimed integer[] := '{}';
    gone integer[] := '{}';
    superseded integer[] := '{}';
    clicked integer[] := '{}';
    holders bigint[] := '{}';
begin
    -- A concurrent claimant is waited for. If it gives up, the key is ours.
    insert into request_claim (merchant_id, operation, request_id, digest, payment_id)
    select p.merchant_id, p.operation, p.claimed_id, p.digest, p.payment_id
    from unnest(payments) as p
    where p.operation is not null
    order by p.merchant_id, p.operation collate "C", p.claimed_id collate "C"
    on conflict do nothing;
    get diagnostics claims_won = row_count;

    if claims_won < claims then
        -- A key that leads to the same payment was claimed by an earlier try of the batch.
        claimed := array(
            select p.place
            from unnest(payments) as p
            where p.operation is not null and p.payment_id is distinct from (
                select c.payment_id from request_claim c
                where c.merchant_id = p.merchant_id and c.operation = p.operation and c.request_id = p.claimed_id
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
        delete from request_claim c
        using unnest(payments) as p
        where p.place = any(gone) and c.merchant_id = p.merchant_id and c.operation = p.operation
            and c.request_id = p.claimed_id and c.payment_id = p.payment_id;
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
            insert into transaction (
                merchant_id, transaction_id, payment_id, mode, amount_minor, currency, source, initiator, reason,
                network_transaction_id, double_click_digest, page_try, created_at
            )
            select p.merchant_id, p.transaction_id, p.payment_id, p.mode, p.amount_minor, p.currency, p.source,
                p.initiator, p.reason, p.network_transaction_id, p.double_click_digest, p.page_try, p.created_at
            from unnest(payments) as p
            where p.place = any(waiting)
            -- By what an insert may wait for: an equal payment, or another try of the same page.
            order by p.merchant_id, coalesce(p.double_click_digest, ''),
                case when p.page_try is not null then p.payment_id else 0 end
            on conflict do nothing
            returning transaction_id
        )
        select array(
            select p.place from unnest(payments) as p
            where p.transaction_id in (select transaction_id from inserted)
        )
        into won;
        begun := begun || won;
        exit when cardinality(won) = cardinality(waiting);

        -- Find what is in their place: themselves, an equal open payment, or another try of their page.
        with found as (
            select p.place, own.transaction_id is not null as is_own,
                coalesce(equal.payment_id, tried.payment_id) as payment_id
            from unnest(payments) as p
            left join transaction own
                on own.merchant_id = p.merchant_id and own.transaction_id = p.transaction_id
            left join transaction equal
                on equal.merchant_id = p.merchant_id and equal.double_click_digest = p.double_click_digest
                and equal.status = 'pending'
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

    -- A payment page's purchase may be tried again.
    insert into payment (
        merchant_id, payment_id, site_id, consumer_id, terms, consumer, metadata, ipn_url, redirect_url, request_id,
        created_at
    )
    select p.merchant_id, p.payment_id, p.site_id, p.consumer_id, p.terms, p.consumer, p.metadata, p.ipn_url,
        p.redirect_url, p.request_id, p.created_at
    from unnest(payments) as p
    where p.place = any(begun)
    on conflict do nothing;

    insert into attempt (
        merchant_id, transaction_id, number, payment_id, acquirer, reference, state, sealed_card, key_version,
        fingerprint, resolve_at, sent_at
    )
    select p.merchant_id, p.transaction_id, 1, p.payment_id, p.acquirer, p.reference, 'in_flight', p.sealed_card,
        p.key_version, p.fingerprint, now() + make_interval(secs => p.resolve_seconds), p.sent_at
    from unnest(payments) as p
    where p.place = any(begun);

    if cardinality(clicked) > 0 then
        update request_claim c
        set payment_id = equal.payment_id
        from unnest(clicked, holders) as equal (place, payment_id)
        join unnest(payments) as p using (place)
        where c.merchant_id = p.merchant_id and c.payment_id = p.payment_id and equal.payment_id <> p.payment_id;
    end if;

    -- After the payments: a double click of an unnamed consumer would leave a consumer behind who never paid.
    if cardinality(consumers) > 0 then
        perform insert_consumers_v1(
            array(select c from unnest(consumers) as c where c.place = any(begun) or c.place = any(begun_before))
        );
    end if;

    if cardinality(subscriptions) > 0 then
        perform insert_pending_subscriptions_v1(
            array(select s from unnest(subscriptions) as s where s.place = any(begun))
        );
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
        select * from record_attempts_v1(
            array(select m from unnest(marks) as m where m.place = any(begun) or m.place = any(begun_before)),
            begun, window_seconds, most
        )
        where cardinality(marks) > 0
    ) as counted using (place)
    order by p.place;
end
$$;

drop function begin_payments(
    bigint[], bigint[], bigint[], bigint[], text[], jsonb[], jsonb[], json[], text[], text[], text[], transaction_mode[],
    bigint[], text[], jsonb[], initiator[], initiation_reason[], text[], bytea[], smallint[], timestamptz[], text[],
    text[], bytea[], integer[], bytea[], double precision[], timestamptz[], text[], text[], bytea[], uuid[], text[],
    jsonb[]
);
drop function consume_tokens(uuid[], bigint[]);
drop function insert_consumers(bigint[], text[], text[], jsonb[]);
