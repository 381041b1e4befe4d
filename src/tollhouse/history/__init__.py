"""The history of a transaction, read from the tables of every other package."""
