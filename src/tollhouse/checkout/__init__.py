"""Pages for cardholders: the hand-off to 3-D Secure and the way back."""
