"""The 3DS Server's part of EMV 3-D Secure 2.2: messages, states, and the talk with the Directory."""
