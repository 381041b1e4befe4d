"""PostgreSQL as this house uses it: connections, named queries, coalesced writes, migrations, the embedded server."""
