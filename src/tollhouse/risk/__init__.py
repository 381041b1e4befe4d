"""Rules that refuse a payment before the acquirer is asked. Pure."""
