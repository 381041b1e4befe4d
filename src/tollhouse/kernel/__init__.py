"""Words of the trade that know nothing of HTTP, SQL or the clock on the wall: money, cards, codes, ids, errors."""
