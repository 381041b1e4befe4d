-- A card to store.
create type card_v1 as (
    place integer, merchant_id bigint, account_id uuid, consumer_id text, fingerprint bytea, key_version integer,
    sealed_card bytea, brand text, masked_number text, expiry_month smallint, expiry_year smallint,
    network_transaction_id text
);

-- vault: Store the cards of approved payments. A known card gets its new expiry and keeps its agreement; it is valid again,
-- also if it was replaced, because its number has paid. Of two rows for one card, the later one counts.
create function keep_cards_v1(cards card_v1[]) returns void
language plpgsql set enable_seqscan to off set enable_hashjoin to off set enable_mergejoin to off as $$
begin
    insert into account (
        merchant_id, account_id, consumer_id, fingerprint, key_version, sealed_card, brand, masked_number, expiry_month,
        expiry_year, network_transaction_id
    )
    select distinct on (merchant_id, account_id) merchant_id, account_id, consumer_id, fingerprint, key_version,
        sealed_card, brand, masked_number, expiry_month, expiry_year, network_transaction_id
    from unnest(cards)
    order by merchant_id, account_id, place desc
    on conflict (merchant_id, account_id) do update
    set key_version = excluded.key_version,
        sealed_card = excluded.sealed_card,
        expiry_month = excluded.expiry_month,
        expiry_year = excluded.expiry_year,
        network_transaction_id = coalesce(account.network_transaction_id, excluded.network_transaction_id),
        replaced_by = null;
end
$$;
