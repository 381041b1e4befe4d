"""The issuer's side of the simulator: authorizations, operations, balances and disputes."""
