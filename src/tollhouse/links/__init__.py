"""Links to payment pages: terms, expiry, state and payment."""
