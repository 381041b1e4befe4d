"""PostgreSQL: connections, named queries, coalesced writes, migrations, the embedded server."""
