"""The heart: a payment from its intention to its outcome."""
