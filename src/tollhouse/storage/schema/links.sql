-- Links to payment pages.

-- Payment pages: the items for sale, the consumer and the expiry. The key in the page's address is derived from the payment's ID.
create table payment_link (
    merchant_id bigint not null references merchant,
    -- The payment. Its transactions are the attempts on the page and give the link's state.
    payment_id bigint not null,
    -- SHA-256 of the key in the address.
    digest bytea not null check (length(digest) = 32),
    -- The sale as it was when the page was created (tollhouse.links.model.Terms).
    terms jsonb not null,
    request_id text not null,
    -- Merchant times.
    created_at timestamptz not null,
    expires_at timestamptz not null constraint payment_link_expires_later check (expires_at > created_at),
    primary key (merchant_id, payment_id),
    -- Finds the page of an address.
    constraint payment_link_digest_unique unique (digest)
);

-- Finds expired links for the sweep.
create index payment_link_expires on payment_link (expires_at);

-- Payment pages on which the consumer repays a chargeback: one for each. At most one attempt on it succeeds, so no chargeback is repaid twice.
create table repayment (
    merchant_id bigint not null,
    -- The chargeback.
    transaction_id bigint not null,
    -- The payment of the page; replaced by another once all its attempts were declined.
    payment_id bigint not null,
    primary key (merchant_id, transaction_id),
    -- Finds the chargeback that a payment repays.
    constraint repayment_payment_unique unique (merchant_id, payment_id)
);
