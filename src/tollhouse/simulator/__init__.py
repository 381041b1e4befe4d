"""A simulated card issuer, acquirer host, Directory Server and ACS, for stage.

It simulates the outside parties. It has its own app, schema and journal, shares no table, rule or code with the gateway
except the kernel and the infrastructure of `storage`, and can fail on purpose. `host.Simulator` is the whole of it;
`app` serves it by HTTP, `transport` within the same process.
"""
