"""Rules that block a payment before the acquirer is called."""
