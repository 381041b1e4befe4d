"""The ledger: double-entry records of all movements, posted with their cause."""
