-- composition: Record the response that a client got while its transaction was open, for the requests that lead to it and have none yet. Return
-- the response that a repeat gets: if the transaction has been finished, that of its outcome.
create function record_pending_response_v1(
    merchant_id bigint, payment_id bigint, transaction_id bigint, is_first boolean, answer bytea
)
returns bytea language plpgsql as $$
#variable_conflict use_column
declare
    recorded bytea;
begin
    -- Finish waits for this lock, or has been committed when the lock is granted.
    perform from transaction t where t.merchant_id = $1 and t.transaction_id = $3 for no key update;
    recorded := final_response_v1($1, $2, $3);
    if recorded is not null then
        return recorded;
    end if;
    perform record_responses_v1(array[row($1, $2, $3, $4, $5)::response_v1]);
    return $5;
end
$$;
