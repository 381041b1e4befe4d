"""Charge renewals and check the cards of subscriptions."""
