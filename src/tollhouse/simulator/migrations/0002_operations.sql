-- Captures, voids and credits: rows of the journal with a reference of their own that act on an authorization or a sale.

alter type journal_kind add value 'capture';
alter type journal_kind add value 'void';
alter type journal_kind add value 'credit';

alter table journal
    -- The authorization or sale that a capture, void or credit acts on; null for all else.
    add original_reference text collate "C",
    -- Of an authorization: what captures took, what was released without being taken. Of a sale all was taken at once.
    add captured_minor bigint not null default 0 check (captured_minor >= 0),
    add released_minor bigint not null default 0 check (released_minor >= 0),
    -- What credits gave back.
    add credited_minor bigint not null default 0 check (credited_minor >= 0),
    -- When a void ended it.
    add voided_at timestamptz,
    drop constraint journal_check,
    add constraint journal_known check (
        kind = 'reversal'
        or ((amount_minor, currency, response_code) is not null and coalesce(masked_number, original_reference) is not null)
    ),
    add constraint journal_on_another check (
        original_reference is null or kind not in ('sale', 'authorization', 'verification', 'reversal')
    );

-- A reversed void or credit takes its amount back from the card, whatever is on it.
alter table balance drop constraint balance_amount_minor_check;
