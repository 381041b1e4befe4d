-- payments: Open reversals for approvals that arrived after their attempt was finished otherwise, or while it is being reversed. An
-- attempt that is approved or still open does not change.
create function reverse_late_approvals_v1(outcomes attempt_outcome_v1[]) returns void
language plpgsql set enable_seqscan to off set enable_hashjoin to off set enable_mergejoin to off as $$
begin
    insert into reversal as known (
        merchant_id, transaction_id, number, acquirer, reference, reason, approved_at, approval_code, due_at
    )
    select distinct on (g.merchant_id, g.transaction_id, g.number) g.merchant_id, g.transaction_id, g.number, g.acquirer,
        g.reference, 'late_approval'::reversal_reason, clock_timestamp(), g.approval_code, now()
    from unnest(outcomes) as g
    join attempt a using (merchant_id, transaction_id, number)
    where g.state = 'approved' and a.state in ('declined', 'not_sent', 'reversing', 'reversed')
    order by g.merchant_id, g.transaction_id, g.number, g.place
    on conflict (merchant_id, transaction_id, number) do update
    set reason = excluded.reason, approved_at = excluded.approved_at, approval_code = excluded.approval_code,
        acknowledged_at = null, inquiries = 0, tries = 0, version = known.version + 1, due_at = excluded.due_at
    where known.approved_at is null;
end
$$;
