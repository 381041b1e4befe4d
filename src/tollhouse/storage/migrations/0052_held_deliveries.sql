-- Deliveries that wait for an earlier event of their thread, in the order in which the sweep reads them.
create index delivery_held on delivery (merchant_id, event_id, number) where state = 'held';
