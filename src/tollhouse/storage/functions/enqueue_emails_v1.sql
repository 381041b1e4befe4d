-- An email to send.
create type email_v1 as (
    place integer, merchant_id bigint, transaction_id bigint, subscription_id bigint, occurred_at timestamptz,
    recipient text, language text, facts jsonb
);

-- notices: Store emails that are to be sent. One that exists stays as it is.
create function enqueue_emails_v1(emails email_v1[]) returns void
language plpgsql as $$
begin
    insert into notice (merchant_id, transaction_id, subscription_id, occurred_at, recipient, language, facts)
    select merchant_id, transaction_id, subscription_id, occurred_at, recipient, language, facts
    from unnest(emails)
    order by merchant_id, transaction_id, subscription_id, occurred_at
    on conflict do nothing;
end
$$;
