-- A token is the secret under which its card and its security code are sealed, and only its hash is stored: `token.token_id`, and
-- `security_code.holder_id` of a token, are the first 128 bits of SHA-256 of the token. Security codes of open challenges are sealed
-- under keys that are never in the database. No dump, base backup or WAL opens either of them, not even with the key file (ADR 0024).

-- Tokens of the last quarter of an hour are lost: their cards were sealed under keys of the database.
truncate token, security_code;
drop table token_request;
drop table short_key;

alter table security_code drop column short_key_id;
alter table token drop column key_version;

comment on column token.token_id is 'The first 128 bits of SHA-256 of the token, which is stored nowhere.';
comment on column security_code.holder_id is 'Of a token its token_id, of a challenge the first authentication of its series.';
