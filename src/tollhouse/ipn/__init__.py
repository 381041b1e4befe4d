"""Callbacks: numbered, signed, and delivered until acknowledged.

An event is a row that the database transaction of its payment inserts (`storage/schema/ipn.sql`). `number` assigns its
number in the merchant's sequence and inserts its deliveries. `delivery.deliver` leases, posts and records; it uses
`delivery.attempt` for one POST, `delivery.session` for checked connections, `message.signature` and
`delivery.schedule`. `log` reads the result.
"""
