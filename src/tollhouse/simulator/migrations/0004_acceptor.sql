-- Which merchant an authorization was for, as the gateway names it (ISO 8583 field 42), so that each sees its own.

alter table journal add acceptor text not null default '';

create index journal_acceptor on journal (acceptor, received_at) where acceptor <> '';
