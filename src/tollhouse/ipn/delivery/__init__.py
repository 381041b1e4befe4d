"""Deliver callbacks: leases, places, schedule and HTTP."""
