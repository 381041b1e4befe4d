"""Pages for merchants: payments and why they failed, keys, sites and products. Rendered here, without a script."""
