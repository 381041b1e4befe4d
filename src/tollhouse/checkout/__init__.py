"""Pages for consumers: the payment page, 3-D Secure, and the return to the shop."""
