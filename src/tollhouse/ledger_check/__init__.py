"""The verification of the ledger against the payments and events that it records, on demand and continuously."""
