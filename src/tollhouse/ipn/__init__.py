"""Instant payment notifications: numbered, signed, delivered until acknowledged.

An event is a row that the transaction of a payment inserts (`storage/schema/ipn.sql`). `number` gives it its
place in the merchant's sequence and puts it on its way; `deliver` claims, posts and records, with `attempt` for one
POST, `session` and `address` for where it may go, `signature` for what it bears, `schedule` for when it is tried again;
`log` shows all of it.
"""
