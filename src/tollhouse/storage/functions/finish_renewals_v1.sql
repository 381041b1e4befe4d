-- The outcome of a renewal attempt.
create type renewal_outcome_v1 as (
    place integer, merchant_id bigint, transaction_id bigint, state renewal_state, finished_at timestamptz, code text,
    advice_code text, is_decline boolean, refuses_card boolean
);

-- billing: Write the outcomes of renewal attempts.
create function finish_renewals_v1(renewals renewal_outcome_v1[]) returns void
language plpgsql set enable_seqscan to off set enable_hashjoin to off set enable_mergejoin to off as $$
begin
    update renewal r
    set state = g.state, finished_at = g.finished_at, code = g.code, advice_code = g.advice_code,
        is_decline = g.is_decline, refuses_card = g.refuses_card
    from unnest(renewals) as g
    where r.merchant_id = g.merchant_id and r.transaction_id = g.transaction_id;
end
$$;
