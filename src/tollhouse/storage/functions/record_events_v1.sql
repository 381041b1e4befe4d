-- `condition` says when the event is posted: always (null), if its site asks for its kind ('asked_for'), or if nothing
-- is left of the payment ('nothing_left'). It is recorded in any case. The first `answer_length` bytes of the body
-- are the response to the request, without its last brace.
create type event_v1 as (
    place integer, merchant_id bigint, payment_id bigint, transaction_id bigint, subscription_id bigint, site_id bigint,
    kind text, status text, url text, format ipn_format, body bytea, legacy_xml bytea, request_id text, condition text,
    answer_length integer
);

-- ipn: Record events, in their order, for the sequencer to number. An event whose condition does not hold gets no URL. A transaction has one event of each
-- status at most.
create function record_events_v1(events event_v1[]) returns void
language plpgsql set enable_seqscan to off set enable_hashjoin to off set enable_mergejoin to off as $$
begin
    -- Of two refunds at once, the second one sees the first.
    if exists (select from unnest(events) as e where e.condition = 'nothing_left') then
        perform from payment p
        where (p.merchant_id, p.payment_id) in (
            select e.merchant_id, e.payment_id from unnest(events) as e where e.condition = 'nothing_left'
        )
        order by p.merchant_id, p.payment_id
        for no key update;
    end if;

    with recorded as (
        insert into event (
            merchant_id, payment_id, transaction_id, subscription_id, site_id, kind, status, url, format, body, legacy_xml,
            request_id, answer_length
        )
        select e.merchant_id, e.payment_id, e.transaction_id, e.subscription_id, e.site_id, e.kind, e.status,
            -- Without a condition nothing is read: `and` would continue after a null.
            case e.condition
                when 'asked_for' then (
                    select case when e.kind = any(s.extra_events) then e.url else '' end
                    from (select) as one
                    left join site s on s.merchant_id = e.merchant_id and s.site_id = e.site_id
                )
                when 'nothing_left' then (
                    select case when sum(case
                        when t.mode in ('sale', 'capture') then t.amount_minor
                        when t.mode = 'credit' then -t.amount_minor
                        when o.dispute_step in ('first', 'second') then -o.moved_minor
                        when o.dispute_step = 'won' then o.moved_minor
                        else 0
                    end) <= 0 then e.url else '' end
                    from transaction t
                    left join operation o on o.merchant_id = t.merchant_id and o.transaction_id = t.transaction_id
                    where t.merchant_id = e.merchant_id and t.payment_id = e.payment_id and t.status = 'success'
                )
                else e.url
            end,
            e.format, e.body, e.legacy_xml, e.request_id, e.answer_length
        from unnest(events) with ordinality as e
        order by e.ordinality
        on conflict (merchant_id, transaction_id, status) where transaction_id is not null do nothing
        returning position
    )
    insert into unnumbered_event (position)
    select position from recorded;
end
$$;
