"""What a currency is worth in US dollars: reference rates of one day, with their source, kept in memory."""
