"""Terms of payments without HTTP, SQL or the system clock: money, cards, codes, IDs, errors."""
