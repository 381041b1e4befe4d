"""Authenticate a cardholder by 3-D Secure, and go on with the payment."""
