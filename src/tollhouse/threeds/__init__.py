"""The 3DS Server of EMV 3-D Secure 2.2: messages, states, and requests to the Directory Server."""
