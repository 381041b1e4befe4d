"""The loops: number and deliver events, resolve unknown outcomes, renew subscriptions, delete expired rows."""
