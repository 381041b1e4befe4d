"""The interface of acquirers, and the connectors."""
