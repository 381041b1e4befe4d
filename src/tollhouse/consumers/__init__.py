"""Who pays."""
