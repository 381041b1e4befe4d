"""Record disputes and chargebacks."""
