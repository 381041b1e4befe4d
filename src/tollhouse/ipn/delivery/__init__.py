"""Deliver callbacks: leases, limits, schedule and HTTP."""
