"""The books: what moved, in double entry, posted with the fact and proved on demand and all the time."""
