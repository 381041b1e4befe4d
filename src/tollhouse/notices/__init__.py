"""Letters to consumers: receipts, written with the outcome they tell of and carried by mail afterwards."""
