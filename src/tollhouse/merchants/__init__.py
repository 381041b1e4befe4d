"""Who sells: merchants, their API keys and secrets."""
