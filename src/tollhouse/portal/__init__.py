"""Pages for merchants: payments, API keys, sites, SKUs and sign-ins. They are rendered here and need no script."""
