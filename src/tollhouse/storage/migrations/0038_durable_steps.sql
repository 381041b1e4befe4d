-- The durable steps of a payment in one round trip each. Inside a function every statement sees what others have committed up to
-- then, as it would in a transaction whose statements come one by one; what is saved is the way to the process and back.

-- Raise unless it is so, and with that take back what the statement wrote. Whoever demanded it goes another way.
create function demand(boolean) returns void language plpgsql as $$
begin
    if $1 is not true then
        raise exception 'not as it was seen' using errcode = 'TH001';
    end if;
end
$$;

-- Create consumers that are not there yet; those that are stay as they are. What is said first describes them.
create function insert_consumers(merchant_ids bigint[], consumer_ids text[], external_ids text[], profiles jsonb[])
returns void language plpgsql as $$
begin
    insert into consumer (merchant_id, consumer_id, external_id, profile)
    select g.merchant_id, g.consumer_id, g.external_id, g.profile
    from unnest(merchant_ids, consumer_ids, external_ids, profiles)
        with ordinality as g (merchant_id, consumer_id, external_id, profile, place)
    -- A look by the key for each, also while the planner takes the table for empty.
    where (
        select true from consumer c where c.merchant_id = g.merchant_id and c.consumer_id = g.consumer_id
    ) is null
    order by g.merchant_id, g.consumer_id collate "C", g.place
    on conflict do nothing;
end
$$;

-- Let payments consume their tokens, with the security codes: what comes back was unused and good, or consumed by this very
-- payment before. Of several payments with one token, one comes back. By real time: what the merchant's clock says was looked at
-- when the request was read.
create function consume_tokens(token_ids uuid[], payment_ids bigint[])
returns table (token_id uuid, used_by bigint) language plpgsql as $$
#variable_conflict use_column
begin
    return query
    with given as (
        select * from unnest(token_ids, payment_ids) as given (token_id, payment_id)
    ),
    locked as (
        select t.token_id, given.payment_id
        from token t
        join given using (token_id)
        where t.used_by = given.payment_id or (t.used_by is null and t.expires_at > now())
        order by t.token_id
        for no key update of t
    ),
    consumed as (
        update token t
        set used_by = locked.payment_id, sealed_card = null
        from locked
        where t.token_id = locked.token_id
        returning t.token_id, t.used_by
    ),
    erased as (
        delete from security_code c using consumed where c.holder_id = consumed.token_id
    )
    select token_id, used_by from consumed;
end
$$;

-- Commit intentions: request ids, tokens, payments, consumers. Each is named by its place in the batch, from 1 on, and has one
-- outcome:
--
-- - 'begun', or 'begun_before' by an earlier try of this batch, whose end nobody heard;
-- - 'claimed': its request id is somebody else's;
-- - 'token_gone': its token is, and it gave its request id back;
-- - 'double_click': it met an equal unresolved payment, or another try of its page, to which its request id leads now.
--
-- What was not begun left nothing else behind, but that the token of a double click is used up. The order of the statements is the
-- order of the locks.
create function begin_payments(
    merchant_ids bigint[], payment_ids bigint[], transaction_ids bigint[], site_ids bigint[], consumer_ids text[],
    terms jsonb[], consumers jsonb[], metadata json[], ipn_urls text[], redirect_urls text[], request_ids text[],
    modes transaction_mode[], amounts_minor bigint[], currencies text[], sources jsonb[], initiators initiator[],
    reasons initiation_reason[], network_transaction_ids text[], double_click_digests bytea[], page_tries smallint[],
    created_at timestamptz[], acquirers text[], attempt_references text[], sealed_cards bytea[],
    key_versions integer[], fingerprints bytea[], resolve_seconds double precision[], sent_at timestamptz[],
    -- Null where there is none: a request id with the digest of its body, a token, a consumer who is new.
    operations text[], claimed_ids text[], digests bytea[], token_ids uuid[], external_ids text[], profiles jsonb[]
)
returns table (
    place bigint, outcome text, group_id smallint, is_account_disabled boolean, holder_id bigint, database_time timestamptz
)
language plpgsql as $$
#variable_conflict use_column
declare
    waiting bigint[];
    won bigint[];
    begun bigint[] := '{}';
    begun_before bigint[] := '{}';
    claimed bigint[] := '{}';
    gone bigint[] := '{}';
    clicked bigint[] := '{}';
    holders bigint[] := '{}';
    claims_taken bigint;
begin
    -- A concurrent claimant is waited for, and taken over from if it gave up.
    insert into request_claim (merchant_id, operation, request_id, digest, payment_id)
    select g.merchant_id, g.operation, g.request_id, g.digest, g.payment_id
    from unnest(merchant_ids, operations, claimed_ids, digests, payment_ids)
        as g (merchant_id, operation, request_id, digest, payment_id)
    where g.operation is not null
    order by g.merchant_id, g.operation collate "C", g.request_id collate "C"
    on conflict do nothing;
    get diagnostics claims_taken = row_count;

    if claims_taken < cardinality(array_remove(operations, null)) then
        -- One that bears one's own payment is one's own.
        claimed := array(
            select g.place
            from unnest(merchant_ids, operations, claimed_ids, payment_ids)
                with ordinality as g (merchant_id, operation, request_id, payment_id, place)
            where g.operation is not null and g.payment_id is distinct from (
                select c.payment_id from request_claim c
                where c.merchant_id = g.merchant_id and c.operation = g.operation and c.request_id = g.request_id
            )
        );
    end if;

    if cardinality(array_remove(token_ids, null)) > 0 then
        with asked as (
            select g.token_id, g.payment_id, g.place
            from unnest(token_ids, payment_ids) with ordinality as g (token_id, payment_id, place)
            where g.token_id is not null and g.place <> all(claimed)
        ),
        granted as materialized (
            select * from consume_tokens(array(select token_id from asked), array(select payment_id from asked))
        )
        select array(
            select place from asked
            where not exists (
                select from granted where granted.token_id = asked.token_id and granted.used_by = asked.payment_id
            )
        )
        into gone;
        delete from request_claim c
        using unnest(merchant_ids, operations, claimed_ids, payment_ids)
            with ordinality as g (merchant_id, operation, request_id, payment_id, place)
        where g.place = any(gone) and c.merchant_id = g.merchant_id and c.operation = g.operation
            and c.request_id = g.request_id and c.payment_id = g.payment_id;
    end if;

    waiting := array(
        select place from generate_series(1, cardinality(payment_ids)::bigint) as place
        where place <> all(claimed) and place <> all(gone)
    );
    for look in 1..4 loop
        exit when waiting = '{}';
        if look = 4 then
            raise exception 'equal payments kept being settled between two looks at them';
        end if;
        with given as (
            select *
            from unnest(
                merchant_ids, payment_ids, transaction_ids, site_ids, consumer_ids, terms, consumers, metadata, ipn_urls,
                redirect_urls, request_ids, modes, amounts_minor, currencies, sources, initiators, reasons,
                network_transaction_ids, double_click_digests, page_tries, created_at, acquirers, attempt_references,
                sealed_cards, key_versions, fingerprints, resolve_seconds, sent_at
            ) with ordinality as g (
                merchant_id, payment_id, transaction_id, site_id, consumer_id, terms, consumer, metadata, ipn_url,
                redirect_url, request_id, mode, amount_minor, currency, source, initiator, reason,
                network_transaction_id, double_click_digest, page_try, created_at, acquirer, reference, sealed_card,
                key_version, fingerprint, resolve_seconds, sent_at, place
            )
            where place = any(waiting)
        ),
        inserted as (
            insert into transaction (
                merchant_id, transaction_id, payment_id, mode, amount_minor, currency, source, initiator, reason,
                network_transaction_id, double_click_digest, page_try, created_at
            )
            select merchant_id, transaction_id, payment_id, mode, amount_minor, currency, source, initiator, reason,
                network_transaction_id, double_click_digest, page_try, created_at
            from given
            -- By what an insert may wait for: an equal payment, or another try of the same page.
            order by merchant_id, coalesce(double_click_digest, ''), case when page_try is not null then payment_id else 0 end
            on conflict do nothing
            returning merchant_id, transaction_id
        ),
        purchases as (
            insert into payment (
                merchant_id, payment_id, site_id, consumer_id, terms, consumer, metadata, ipn_url, redirect_url,
                request_id, created_at
            )
            select merchant_id, payment_id, site_id, consumer_id, terms, consumer, metadata, ipn_url, redirect_url,
                request_id, created_at
            from given join inserted using (merchant_id, transaction_id)
            -- A payment page's purchase may be tried again.
            on conflict do nothing
        ),
        tries as (
            insert into attempt (
                merchant_id, transaction_id, number, payment_id, acquirer, reference, state, sealed_card, key_version,
                fingerprint, resolve_at, sent_at
            )
            select merchant_id, transaction_id, 1, payment_id, acquirer, reference, 'in_flight', sealed_card,
                key_version, fingerprint, now() + make_interval(secs => resolve_seconds), sent_at
            from given join inserted using (merchant_id, transaction_id)
        )
        select array(select place from given join inserted using (merchant_id, transaction_id))
        into won;
        begun := begun || won;
        exit when cardinality(won) = cardinality(waiting);

        -- Who stands in their place: themselves, an equal unresolved payment, or another try of their page.
        with given as (
            select *
            from unnest(merchant_ids, payment_ids, transaction_ids, double_click_digests, page_tries)
                with ordinality as g (merchant_id, payment_id, transaction_id, digest, page_try, place)
            where place = any(waiting) and place <> all(won)
        ),
        found as (
            select given.place, own.transaction_id is not null as is_own,
                coalesce(other.payment_id, tried.payment_id) as payment_id
            from given
            left join transaction own
                on own.merchant_id = given.merchant_id and own.transaction_id = given.transaction_id
            left join transaction other
                on other.merchant_id = given.merchant_id and other.double_click_digest = given.digest
                and other.status = 'pending'
            left join lateral (
                select payment_id from transaction t
                where t.merchant_id = given.merchant_id and t.payment_id = given.payment_id
                    and given.page_try is not null and t.page_try is not null
                limit 1
            ) tried on true
        )
        select begun_before || array(select place from found where is_own order by place),
            clicked || array(select place from found where not is_own and payment_id is not null order by place),
            holders || array(select payment_id from found where not is_own and payment_id is not null order by place),
            array(select place from found where not is_own and payment_id is null order by place)
        into begun_before, clicked, holders, waiting;
    end loop;

    if clicked <> '{}' then
        update request_claim c
        set payment_id = twin.payment_id
        from unnest(clicked, holders) as twin (place, payment_id)
        where c.merchant_id = merchant_ids[twin.place] and c.payment_id = payment_ids[twin.place]
            and twin.payment_id <> payment_ids[twin.place];
    end if;

    -- After the payments: a double click of somebody without a name would leave a consumer behind who never paid.
    perform insert_consumers(
        array_agg(g.merchant_id order by g.place), array_agg(g.consumer_id order by g.place),
        array_agg(g.external_id order by g.place), array_agg(g.profile order by g.place)
    )
    from unnest(merchant_ids, consumer_ids, external_ids, profiles)
        with ordinality as g (merchant_id, consumer_id, external_id, profile, place)
    where g.profile is not null and (g.place = any(begun) or g.place = any(begun_before))
    having count(*) > 0;

    return query
    select g.place,
        case
            when g.place = any(begun) then 'begun'
            when g.place = any(begun_before) then 'begun_before'
            when g.place = any(claimed) then 'claimed'
            when g.place = any(gone) then 'token_gone'
            else 'double_click'
        end,
        (
            select c.group_id from consumer c where c.merchant_id = g.merchant_id and c.consumer_id = g.consumer_id
        ),
        (
            select a.disabled from account a
            where a.merchant_id = g.merchant_id and a.account_id = (g.source ->> 'accountId')::uuid
        ),
        holders[array_position(clicked, g.place)],
        clock_timestamp()
    from unnest(merchant_ids, consumer_ids, sources) with ordinality as g (merchant_id, consumer_id, source, place);
end
$$;
