"""Build the messages of callbacks, and sign them."""
