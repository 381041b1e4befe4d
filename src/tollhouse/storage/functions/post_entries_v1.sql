-- A ledger entry to post.
create type ledger_entry_v1 as (
    place integer, merchant_id bigint, transaction_id bigint, number smallint, debit ledger_account,
    credit ledger_account, amount_minor bigint, currency text
);

-- ledger: Post entries. An entry that exists stays as it is.
create function post_entries_v1(entries ledger_entry_v1[]) returns void
language plpgsql as $$
begin
    insert into ledger_entry (merchant_id, transaction_id, number, debit, credit, amount_minor, currency)
    select merchant_id, transaction_id, number, debit, credit, amount_minor, currency
    from unnest(entries)
    on conflict do nothing;
end
$$;
