"""Serve HTTP: ports, connections and their limits, health and metrics."""
