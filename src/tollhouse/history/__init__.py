"""What happened to a payment, told from the rows that every other package left behind. Reads, and writes nothing."""
