"""Exchange rates to US dollars: reference rates of one day, with their source, kept in memory."""
