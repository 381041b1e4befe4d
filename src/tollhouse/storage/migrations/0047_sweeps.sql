-- What a sweep looks for is found by an index that holds nothing else: cards of tokens that ran out were looked for among all tokens of
-- the last day, each minute.
create index token_card_expiry on token (expires_at) where sealed_card is not null;
