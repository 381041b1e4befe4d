-- An authentication to insert: `content` is a row of `authentication` as JSON.
create type authentication_v1 as (place integer, content jsonb);

-- threeds: Insert authentications. Those that an earlier run of the batch wrote stay.
create function insert_authentications_v1(authentications authentication_v1[]) returns void
language plpgsql as $$
begin
    insert into authentication (
        merchant_id, authentication_id, series_id, payment_id, transaction_id, attempt_number, number, state, page_digest,
        return_digest, three_ds_server_trans_id, version, method_url, challenge_indicator, browser, requested_at,
        acs_trans_id, ds_trans_id, acs_url, trans_status, status_reason, eci, cavv, created_at, expires_at, answered_at,
        result_at, due_at
    )
    select
        a.merchant_id, a.authentication_id, a.series_id, a.payment_id, a.transaction_id, a.attempt_number, a.number,
        a.state, a.page_digest, a.return_digest, a.three_ds_server_trans_id, a.version, a.method_url,
        a.challenge_indicator, a.browser, a.requested_at, a.acs_trans_id, a.ds_trans_id, a.acs_url, a.trans_status,
        a.status_reason, a.eci, a.cavv, a.created_at, a.expires_at, a.answered_at, a.result_at, a.due_at
    from unnest(authentications) as g, jsonb_populate_record(null::authentication, g.content) as a
    order by a.merchant_id, a.authentication_id
    on conflict do nothing;
end
$$;
