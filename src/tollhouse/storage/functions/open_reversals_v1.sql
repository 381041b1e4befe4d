-- An attempt to be moved from the state in which it was read. Number 0 is a transaction without an attempt. `record_id`
-- identifies the change if its batch is repeated. `answer` is the response to the request, `reversal` the reason to have
-- the reference reversed, `erase_code_of` the holder of a security code that is erased.
create type attempt_outcome_v1 as (
    place integer, record_id uuid, merchant_id bigint, transaction_id bigint, payment_id bigint, number smallint,
    is_first boolean, expected attempt_state, state attempt_state, resolve_seconds double precision, response_code text,
    advice_code text, approval_code text, status transaction_status, code text, network_transaction_id text,
    finished_at timestamptz, answered_at timestamptz, answer bytea, acquirer text, reference text,
    reversal reversal_reason, erase_code_of uuid
);

-- payments: Open reversals of references that were finished without the acquirer's response. A reference that is already
-- reversed only gets an inquiry.
create function open_reversals_v1(outcomes attempt_outcome_v1[]) returns void
language plpgsql as $$
begin
    insert into reversal (merchant_id, transaction_id, number, acquirer, reference, reason, acknowledged_at, due_at)
    select merchant_id, transaction_id, number, acquirer, reference, reversal,
        case when reversal = 'reversed' then clock_timestamp() end,
        now() + case when reversal = 'reversed' then interval '1 hour' else interval '0' end
    from unnest(outcomes)
    where reversal is not null
    order by merchant_id, transaction_id, number
    on conflict do nothing;
end
$$;
