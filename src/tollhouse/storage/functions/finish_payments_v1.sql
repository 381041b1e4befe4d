-- The attempt that follows one that was finished.
create type next_attempt_v1 as (
    place integer, merchant_id bigint, transaction_id bigint, number smallint, payment_id bigint, acquirer text,
    reference text, state attempt_state, sealed_card bytea, key_version integer, fingerprint bytea,
    double_click_digest bytea, resolve_seconds double precision, sent_at timestamptz
);

-- composition: Finish attempts: change those that are still in the state in which they were read, and write the rows that follow
-- from each. Each outcome has one result:
--
-- - 'moved', or 'moved_before' by an earlier run of this batch, whose COMMIT got no response;
-- - 'overtaken': another outcome was first, or an earlier one of this batch; an approval is then reversed;
-- - 'outdated': a subscription has changed since it was read; nothing was written, and it has to be computed again.
--
-- The order of the statements is the order of the locks: attempts, subscriptions, cards, consumers, holds, payments.
create function finish_payments_v1(
    outcomes attempt_outcome_v1[], next_attempts next_attempt_v1[], authentications authentication_v1[],
    codes security_code_v1[], cards card_v1[], last_accounts last_account_v1[], subscriptions subscription_v1[],
    forgotten forgotten_subscription_v1[], renewals renewal_outcome_v1[], entries ledger_entry_v1[],
    holds hold_change_v1[], events event_v1[], emails email_v1[], declines velocity_mark_v1[]
)
returns table (place integer, result text, database_time timestamptz)
language plpgsql set enable_seqscan to off set enable_hashjoin to off set enable_mergejoin to off as $$
#variable_conflict use_column
declare
    size integer := cardinality(outcomes);
    moved integer[];
    moved_before integer[] := '{}';
    outdated integer[] := '{}';
    lost attempt_outcome_v1[] := '{}';
    has_open boolean;
    has_answers boolean;
    has_steps boolean;
    has_reversals boolean;
    has_erased_codes boolean;
begin
    -- Open attempts are found by their keys in subqueries. A join could read all of them, deleted ones too, if the planner takes the
    -- table for empty, which it mostly is.
    perform (
        select true from open_attempt a
        where a.merchant_id = g.merchant_id and a.transaction_id = g.transaction_id and a.number = g.number
            and a.state = g.expected
        for no key update
    )
    from (select * from unnest(outcomes) order by merchant_id, transaction_id, number) as g;

    -- A new statement sees the rows that were committed while this function waited for the locks.
    moved := array(
        select distinct on (g.merchant_id, g.transaction_id, g.number) g.place
        from unnest(outcomes) as g
        where g.expected = (
            select a.state from open_attempt a
            where a.merchant_id = g.merchant_id and a.transaction_id = g.transaction_id and a.number = g.number
        ) or (g.number = 0 and exists (
            select from transaction t
            where t.merchant_id = g.merchant_id and t.transaction_id = g.transaction_id and t.status = 'pending'
        ))
        order by g.merchant_id, g.transaction_id, g.number, g.place
    );

    if cardinality(subscriptions) > 0 then
        outdated := lock_subscriptions_v1(
            array(select s from unnest(subscriptions) as s where s.place = any(moved))
        );
        moved := array(select m from unnest(moved) as m where m <> all(outdated));
    end if;

    if cardinality(moved) < size then
        moved_before := array(
            select g.place
            from unnest(outcomes) as g
            join attempt a using (merchant_id, transaction_id, number)
            where a.moved_by = g.record_id
        );
        lost := array(
            select g from unnest(outcomes) as g
            where g.state = 'approved' and g.place <> all(moved) and g.place <> all(moved_before)
                and g.place <> all(outdated)
        );
        -- Write only the rows that follow from attempts that changed.
        outcomes := array(select g from unnest(outcomes) as g where g.place = any(moved));
        next_attempts := array(select n from unnest(next_attempts) as n where n.place = any(moved));
        authentications := array(select a from unnest(authentications) as a where a.place = any(moved));
        codes := array(select c from unnest(codes) as c where c.place = any(moved));
        cards := array(select c from unnest(cards) as c where c.place = any(moved));
        last_accounts := array(select l from unnest(last_accounts) as l where l.place = any(moved));
        subscriptions := array(select s from unnest(subscriptions) as s where s.place = any(moved));
        forgotten := array(select s from unnest(forgotten) as s where s.place = any(moved));
        renewals := array(select r from unnest(renewals) as r where r.place = any(moved));
        entries := array(select e from unnest(entries) as e where e.place = any(moved));
        holds := array(select h from unnest(holds) as h where h.place = any(moved));
        events := array(select e from unnest(events) as e where e.place = any(moved));
        emails := array(select e from unnest(emails) as e where e.place = any(moved));
        declines := array(select d from unnest(declines) as d where d.place = any(moved));
    end if;

    -- A decline that does not end the transaction leads to a challenge, and is a step, as any outcome that is not final.
    select bool_or(g.state in ('in_flight', 'challenged', 'unknown', 'reversing')), bool_or(g.answer is not null),
        bool_or(
            g.number > 0
            and (g.expected <> 'in_flight' or g.state not in ('approved', 'declined') or g.status = 'pending')
        ),
        bool_or(g.reversal is not null), bool_or(g.erase_code_of is not null)
    into has_open, has_answers, has_steps, has_reversals, has_erased_codes
    from unnest(outcomes) as g;

    with closed as (
        delete from open_attempt a
        using (
            select *, (
                select a.ctid from open_attempt a
                where a.merchant_id = g.merchant_id and a.transaction_id = g.transaction_id and a.number = g.number
            ) as row_id
            from unnest(outcomes) as g
            where g.state in ('approved', 'declined', 'not_sent', 'reversed')
            offset 0
        ) as g
        where a.ctid = g.row_id
        returning a.merchant_id, a.transaction_id, a.sent_at, g.state, a.number, g.record_id, a.acquirer,
            nullif(a.reference, a.transaction_id || '-' || a.number), g.response_code, g.advice_code, g.approval_code
    )
    insert into closed_attempt (
        merchant_id, transaction_id, sent_at, state, number, moved_by, acquirer, reference, response_code, advice_code,
        approval_code
    )
    select * from closed;

    if has_open then
        update open_attempt a
        set state = g.state,
            resolve_at = now() + make_interval(secs => g.resolve_seconds),
            inquiries = 0,
            -- After a challenge the acquirer is called now: "not found" proves nothing before its longest delay.
            sent_at = case when g.state = 'in_flight' then now() else a.sent_at end,
            moved_by = g.record_id
        from (
            select *, (
                select a.ctid from open_attempt a
                where a.merchant_id = g.merchant_id and a.transaction_id = g.transaction_id and a.number = g.number
            ) as row_id
            from unnest(outcomes) as g
            where g.state in ('in_flight', 'challenged', 'unknown', 'reversing')
            offset 0
        ) as g
        where a.ctid = g.row_id;
    end if;

    update transaction t
    set status = g.status,
        code = g.code,
        network_transaction_id = g.network_transaction_id,
        finished_at = g.finished_at,
        is_only = t.is_only and g.status <> 'fail',
        is_late = g.finished_at - t.created_at > interval '1 hour'
    from unnest(outcomes) as g
    where g.status <> 'pending' and t.merchant_id = g.merchant_id and t.transaction_id = g.transaction_id
        and t.status = 'pending';

    -- The response to a final outcome is the beginning of its event (final_response_v1). The first recorded response stays.
    if has_answers then
        perform record_responses_v1(
            array(
                select row(g.merchant_id, g.payment_id, g.transaction_id, g.is_first, g.answer)::response_v1
                from unnest(outcomes) as g
                where g.answer is not null
            )
        );
    end if;

    if has_steps then
        insert into attempt_step (merchant_id, transaction_id, number, at, left_state, reached_state, response_code)
        select g.merchant_id, g.transaction_id, g.number, coalesce(g.answered_at, clock_timestamp()), g.expected, g.state,
            g.response_code
        from unnest(outcomes) as g
        where g.number > 0
            and (g.expected <> 'in_flight' or g.state not in ('approved', 'declined') or g.status = 'pending');
    end if;

    if cardinality(next_attempts) > 0 then
        insert into open_attempt (
            merchant_id, transaction_id, number, payment_id, acquirer, reference, state, sealed_card, key_version,
            fingerprint, double_click_digest, resolve_at, sent_at
        )
        select merchant_id, transaction_id, number, payment_id, acquirer, reference, state, sealed_card, key_version,
            fingerprint, double_click_digest, now() + make_interval(secs => resolve_seconds), sent_at
        from unnest(next_attempts)
        on conflict do nothing;
    end if;

    if has_reversals then
        perform open_reversals_v1(outcomes);
    end if;
    if cardinality(lost) > 0 then
        perform reverse_late_approvals_v1(lost);
    end if;

    if cardinality(subscriptions) > 0 then
        perform update_subscriptions_v1(subscriptions);
    end if;
    if cardinality(forgotten) > 0 then
        perform forget_subscriptions_v1(forgotten);
    end if;
    if cardinality(renewals) > 0 then
        perform finish_renewals_v1(renewals);
    end if;
    if cardinality(cards) > 0 then
        perform keep_cards_v1(cards);
    end if;
    if cardinality(last_accounts) > 0 then
        perform update_last_accounts_v1(last_accounts);
    end if;
    if cardinality(authentications) > 0 then
        perform insert_authentications_v1(authentications);
    end if;
    if cardinality(codes) > 0 or has_erased_codes then
        perform replace_security_codes_v1(codes, array(select g.erase_code_of from unnest(outcomes) as g));
    end if;
    if cardinality(holds) > 0 then
        perform change_holds_v1(holds);
    end if;
    if cardinality(entries) > 0 then
        perform post_entries_v1(entries);
    end if;
    if cardinality(events) > 0 then
        perform record_events_v1(events);
    end if;
    if cardinality(emails) > 0 then
        perform enqueue_emails_v1(emails);
    end if;
    if cardinality(declines) > 0 then
        perform record_declines_v1(declines);
    end if;

    return query
    select g,
        case
            when g = any(moved) then 'moved'
            when g = any(moved_before) then 'moved_before'
            when g = any(outdated) then 'outdated'
            else 'overtaken'
        end,
        clock_timestamp()
    from generate_series(1, size) as g
    order by g;
end
$$;
