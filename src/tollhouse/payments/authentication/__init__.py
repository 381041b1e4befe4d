"""Authenticate a cardholder by 3-D Secure, and continue the payment."""
