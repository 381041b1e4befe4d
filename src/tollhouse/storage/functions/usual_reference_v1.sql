-- payments: Return the reference that an attempt of this database usually has, as `payments.lifecycle.name_attempt` builds it.
create function usual_reference_v1(transaction_id bigint, number integer) returns text
language sql immutable as $$ select transaction_id || '-' || number $$;
