-- billing: Write subscriptions. The worker that leased one loses the lease, unless the row keeps it.
create function update_subscriptions_v1(subscriptions subscription_v1[]) returns void
language plpgsql set enable_seqscan to off set enable_hashjoin to off set enable_mergejoin to off as $$
begin
    update subscription s
    set status = g.status, account_id = g.account_id, prices = g.prices, anchor_at = g.anchor_at,
        anchor_months = g.anchor_months, starts_at_anchor = g.starts_at_anchor, first_period = g.first_period,
        next_period = g.next_period, tries = g.tries, cycle = g.cycle, renewal_at = g.renewal_at,
        charge_at = g.charge_at, due_at = g.due_at, charged_at = g.charged_at, paid_until = g.paid_until,
        cancel_at = g.cancel_at, cancel_reason = g.cancel_reason, tells_consumer = g.tells_consumer,
        waits_for_account = g.waits_for_account, is_revoked = g.is_revoked, ended_with = g.ended_with,
        next_prices = g.next_prices, network_transaction_id = g.network_transaction_id,
        check_card_at = g.check_card_at, approved_at = g.approved_at, is_charge_next = g.is_charge_next,
        lease = case when g.keeps_lease then s.lease end,
        lease_until = case when g.keeps_lease then s.lease_until end,
        version = s.version + 1, updated_at = now()
    from unnest(subscriptions) as g
    where s.merchant_id = g.merchant_id and s.subscription_id = g.subscription_id;
end
$$;
