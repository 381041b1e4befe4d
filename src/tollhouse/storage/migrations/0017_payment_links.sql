-- Links to payment pages.

-- What a page sells, to whom, and until when. The address of the page has a key that is derived from the purchase's id.
create table payment_link (
    merchant_id bigint not null references merchant,
    -- The purchase: its transactions are its tries, and tell where the link stands.
    payment_id bigint not null,
    -- SHA-256 of the key in the address.
    digest bytea not null check (length(digest) = 32),
    -- What is sold and how, as it was when the page was made (tollhouse.links.model.Terms).
    terms jsonb not null,
    request_id text not null,
    -- Merchant's time, as are both.
    created_at timestamptz not null,
    expires_at timestamptz not null check (expires_at > created_at),
    primary key (merchant_id, payment_id),
    constraint payment_link_digest_unique unique (digest)
);

create index payment_link_expires on payment_link (expires_at);
