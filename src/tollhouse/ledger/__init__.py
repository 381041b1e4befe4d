"""Double entry for every movement of money."""
