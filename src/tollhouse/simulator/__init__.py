"""A card issuer, its acquirer host, a 3DS Directory and an access control server, for stage.

It stands for the world outside: it has its own app, schema and journal, shares no table, no rule and no code with the
gateway beyond the kernel and the plumbing of `storage`, and may misbehave on purpose. `host.Simulator` is the whole of
it; `app` puts it behind HTTP, `transport` within reach of the same process.
"""
