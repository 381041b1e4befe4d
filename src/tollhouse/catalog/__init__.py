"""The catalog of merchants: sites, SKUs and their prices."""
