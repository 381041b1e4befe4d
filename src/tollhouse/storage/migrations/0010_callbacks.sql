-- Callbacks in the legacy form, sent again by hand, and read back.

-- What a site asks for. `plugin` suits the public WooCommerce plugin, which takes any successful JSON callback for a payment:
-- sales and authorizations as JSON, voids and credits in the legacy form, nothing else. An event has one of the first three.
alter type ipn_format add value 'plugin';
alter type ipn_format add value 'none';

-- The XML of the legacy form, frozen like the body. Null where nobody wants it.
alter table event add column legacy_xml bytea;

-- The callbacks of a payment. Written by the sequencer, so the transaction of a payment does not pay for it.
create index event_payment on event (merchant_id, payment_id) where sequence is not null;

-- Of an event in both forms, number 1 is the JSON and number 2 the legacy one; resends have the numbers after.
create type delivery_form as enum ('json', 'legacy');
alter table delivery add column form delivery_form not null default 'json';

-- Depth and age of the outbox.
create index delivery_unfinished on delivery (created_at) where state in ('held', 'waiting', 'leased');
