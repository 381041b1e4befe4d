"""What merchants sell: sites, SKUs and their prices."""
