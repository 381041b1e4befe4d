-- Who paid, and who was declined: counted for the velocity limits. Written only where there are limits, and kept for one window.

create type velocity_kind as enum ('consumer', 'card', 'address');

create table velocity_mark (
    merchant_id bigint not null,
    kind velocity_kind not null,
    -- The consumer's id, the card's keyed fingerprint in hex, the address.
    key text not null collate "C",
    -- An attempt, or its decline by the issuer.
    is_decline boolean not null,
    noted_at timestamptz not null default now(),
    transaction_id bigint not null,
    primary key (merchant_id, kind, key, is_decline, noted_at, transaction_id)
);

create index velocity_mark_age on velocity_mark (noted_at);
